// Last of the scripts: what the page carries data for comes to life.
{
  const places = Object.fromEntries(Array.from(document.querySelectorAll("[data-live]"), (one) => [one.dataset.live, one]));
  if (points && places.plots && points.plots.length) showPlots(places.plots);
  if (points && places.points) showTable(places.points);
  const pictures = embedded("pictures");
  for (const one of pictures ? pictures.pictures : []) one.score = numberOf(one.score);
  if (pictures && places.pictures) showPictures(places.pictures, pictures);
}
