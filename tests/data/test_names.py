"""Names that become folders are the same everywhere or refused; a path of a picture stays below its folder."""

import unicodedata

import pytest

from ddad_jax.data.names import (
    LONGEST,
    NORMAL_NAMES,
    fault_of,
    folded,
    is_normal_name,
    may_be_normal,
    require_apart,
    require_inside,
    require_kind,
    require_name,
)
from ddad_jax.errors import InputError

REFUSED = [
    ("a/b", "holds '/'"), ("/etc", "holds '/'"), ("..", "begins with a dot"), (".", "begins with a dot"),
    ("..\\x", r"holds '\\\\'"), ("C:x", "holds ':'"), ("x?", "holds '\\?'"), ("a|b", "holds '\\|'"), (".git", "a dot"),
    ("", "is empty"), ("   ", "is empty"), ("x ", "ends with a blank"), (" x", "begins or ends"), ("x.", "with a dot"),
    ("a\nb", r"'\\n'"), ("a\0b", r"'\\x00'"), ("a\x7f", r"'\\x7f'"), ("a\u202eb", r"u202e"), ("\ud800", r"ud800"),
    ("con", "device of Windows"), ("NUL.png", "device"), ("Com1", "device"), ("lpt9.a.b", "device"),
    ("aux .x", "device"), ("COM\u00b9", "device"), ("x" * 201, "201 bytes"), ("\u00e4" * 101, "202 bytes"),
]  # fmt: skip
TAKEN = ["scratch", "deep scratch", "3", "a.b", "Kratzer & Delle", "ri\u00df", "\u50b7", "console", "com", "com10",
         "x" * LONGEST, "\u0646\u06cc\u0645\u200c\u0641\u0627\u0635\u0644\u0647", "-", "a,b", "50%", "#2"]  # fmt: skip


@pytest.mark.parametrize(("name", "why"), REFUSED)
def test_a_name_that_some_system_cannot_have_is_refused_with_where_it_is_from(name: str, why: str) -> None:
    with pytest.raises(InputError, match=rf"via\.json, region 0: .*{why}.*Rename it\."):
        require_name(name, "via.json, region 0", mend="Rename it")


@pytest.mark.parametrize("name", TAKEN)
def test_every_other_name_is_taken_as_it_is(name: str) -> None:
    assert fault_of(name) == "" and require_name(name, "here") == name and not is_normal_name(name)


def test_a_message_does_not_hold_all_of_a_long_name() -> None:
    with pytest.raises(InputError) as error:
        require_name("x" * 100_000, "here")
    assert len(str(error.value)) < 300 and "100000 bytes" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *NORMAL_NAMES,
        "GOOD",
        "Ok",
        "O.K.",
        "Normal",
        "defect free",
        "Defect-Free",
        "noDefect",
        "\uff47ood",
        "\uff2f\uff2b",
    ],
)
def test_what_normal_pictures_are_called_is_no_kind_of_defect(name: str) -> None:
    assert is_normal_name(name)
    with pytest.raises(InputError, match=r"row 4: .*(pictures without a defect are called|with a dot)"):
        require_kind(name, "row 4")


def test_two_spellings_that_look_the_same_are_one_kind() -> None:
    apart = unicodedata.normalize("NFD", "flächig")
    assert apart != "flächig" and require_kind(apart, "here") == require_kind("flächig", "here") == "flächig"


def test_names_that_one_system_takes_for_one_are_refused_together() -> None:
    require_apart([("dent", "a"), ("dent", "b"), ("dents", "c")])
    for one, other in (("Scratch", "scratch"), ("RISS", "riß"), ("é", "e\u0301")):
        assert folded(one) == folded(other)
        with pytest.raises(InputError, match=r"^there: .*\(here\) differ by case or Unicode form alone"):
            require_apart([(one, "here"), ("dent", "elsewhere"), (other, "there")])


@pytest.mark.parametrize(
    "path", ["../x.png", "a/../../x.png", "/x.png", "a/..", "", "\\x.png", "C:/x.png", "c:x.png", "a\\..\\..\\x",
             "a\0b", "//host/share/x.png", ".."]
)  # fmt: skip
def test_a_path_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"1cls\.csv, line 2: .*leads out"):
        require_inside(path, "1cls.csv, line 2")


@pytest.mark.parametrize("path", ["x.png", "a/b/x.png", "a//x.png", "./x", "a..b/..c", ".", "ab:c/x.png", " /x.png"])
def test_a_path_below_its_folder_is_taken_whatever_its_parts_are_called(path: str) -> None:
    assert require_inside(path, "here") == path


@pytest.mark.parametrize(
    "name",
    ["ok_front", "good2", "normal_1", "0_good", "GOOD parts", "\uff47\uff4f\uff4f\uff44", "(good)", "正常", "Normals"]
    + ["GoodParts", "okParts", "fehlerfrei", "Gutteile", "zero_defects", "undefected"],
)
def test_a_normal_name_with_what_says_nothing_besides_is_normal(name: str) -> None:
    assert is_normal_name(name) and not may_be_normal(name)


@pytest.mark.parametrize("name", ["not_good", "no good", "nok", "goodyear", "scratch", "def_front"])
def test_a_denied_normal_name_and_words_that_only_begin_alike_are_defects(name: str) -> None:
    assert not is_normal_name(name) and not may_be_normal(name)


@pytest.mark.parametrize("name", ["negative", "negative_samples", "class_0", "0", "unbroken", "no_crack", "good_weld"])
def test_a_name_that_leaves_it_open_may_be_normal(name: str) -> None:
    assert may_be_normal(name) and not is_normal_name(name)
