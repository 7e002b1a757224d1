"""What a run is made of: a method, pictures and settings in, a folder out. No flags; the core never imports it."""
