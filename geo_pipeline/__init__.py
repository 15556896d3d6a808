"""Photo URLs to a trained and benchmarked photo-geolocation model: a Dagster project and the library behind it."""
