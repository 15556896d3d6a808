from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from geo_pipeline.world.views import JPEG_BYTES, VIEW_PIXELS, encode_view, look_of, plain_view, render_view

PARIS, SAHARA, PACIFIC = (48.8566, 2.3522), (23.0, 5.0), (0.0, -150.0)


def pixels(view: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(view).astype(np.float64)


def test_the_look_comes_from_the_id_alone() -> None:
    assert look_of("a") == look_of("a")
    assert len({look_of(f"photo {number}") for number in range(1000)}) == 1000


def test_two_photos_of_one_place_differ_and_one_photo_is_always_the_same() -> None:
    assert encode_view(render_view("a", *PARIS)) == encode_view(render_view("a", *PARIS))
    assert encode_view(render_view("a", *PARIS)) != encode_view(render_view("b", *PARIS))


def test_looks_stay_within_what_a_photographer_would_do() -> None:
    looks = [look_of(f"photo {number}") for number in range(2000)]
    zooms = np.array([look.zoom for look in looks])
    assert 2**-0.4 <= zooms.min() < 0.8
    assert 1.25 < zooms.max() <= 2**0.4
    assert 0.9 < np.mean([look.brightness for look in looks]) < 1.1
    assert 0.25 < np.mean([look.blur_radius > 0 for look in looks]) < 0.37
    assert max(look.blur_radius for look in looks) <= 1.0


@pytest.mark.parametrize("place", [PARIS, SAHARA, PACIFIC, (90, 0), (-90, 0), (0, 180), (0, -180), (79.5, 179.98)])
def test_every_view_has_the_same_shape_and_the_same_number_of_bytes(place: tuple[float, float]) -> None:
    jpeg = encode_view(render_view("a", *place))
    assert len(jpeg) == JPEG_BYTES
    with Image.open(io.BytesIO(jpeg)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (VIEW_PIXELS, VIEW_PIXELS))
        assert not picture.getexif()
        assert not np.any(np.frombuffer(picture.info["comment"], np.uint8))
        picture.load()


def test_a_picture_full_of_noise_does_not_pass_silently() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="does not fit"):
        encode_view(Image.fromarray(noise))


def test_the_view_shows_the_place() -> None:
    red, _, blue = pixels(plain_view(*SAHARA)).mean(axis=(0, 1))
    assert red > blue
    red, _, blue = pixels(plain_view(*PACIFIC)).mean(axis=(0, 1))
    assert blue > red


def test_north_is_up_and_east_is_right() -> None:
    gibraltar = pixels(plain_view(36.0, -5.5))
    # Spain and Morocco lie north and south, the Atlantic west: the north-west corner of the strait is the Atlantic.
    assert gibraltar[70:, :10].mean() < gibraltar[:20, 30:60].mean()
    chile = pixels(plain_view(-30.0, -71.5))
    assert chile[:, :20, 2].mean() > chile[:, :20, 0].mean()
    assert chile[:, 60:, 0].mean() > chile[:, 60:, 2].mean()


def test_the_antimeridian_is_no_edge() -> None:
    np.testing.assert_allclose(pixels(plain_view(-17.0, 180.0)), pixels(plain_view(-17.0, -180.0)), atol=3)


def test_a_smaller_zoom_shows_the_middle_of_the_view() -> None:
    wide = plain_view(*PARIS).crop((20, 20, 60, 60)).resize((VIEW_PIXELS, VIEW_PIXELS), Image.Resampling.BILINEAR)
    difference = pixels(wide) - pixels(plain_view(*PARIS, zoom=0.5))
    assert np.abs(difference).mean() < 6
