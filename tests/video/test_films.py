"""Films as files: what of them is kept, in which containers, and what becomes of damaged and unfinished ones."""

import json
import shutil
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from films import RATE, luma, picture, read, scene, write
from photochrom import FileExists, PhotoError, WriteError, colorize_video
from photochrom.video import film as film_module
from photochrom.video.film import MARK
from photochrom.video.reading import Film
from waiting import wait_until

TWO_SHOTS = [*scene(1), *scene(2)]
SOUND = (8000 * np.sin(np.arange(48000) / 20)).astype(np.int16)


def times(frames):
    return [float((frame.pts - frames[0].pts) * frame.time_base) for frame in frames]


def color_codes(frame):
    return np.stack([np.frombuffer(plane, np.uint8).astype(float).std() for plane in frame.planes[1:3]])


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        (".mp4", "libx264", True),
        (".mov", "libx264", True),
        (".m4v", "mpeg4", False),
        (".mkv", "ffv1", True),
        (".avi", "mpeg4", True),
        (".mpg", "mpeg2video", True),
        (".webm", "libvpx-vp9", True),
    ],
)
def test_a_film_keeps_its_container_times_luma_and_sound(colorizer, tmp_path, suffix, codec, sound):
    source = write(tmp_path / f"one{suffix}", TWO_SHOTS, codec, sound=SOUND if sound else None)
    made = colorize_video(source, colorizer)
    assert made.path == tmp_path / f"one-color{suffix}"
    before, after = read(source), read(made.path)
    assert len(after) == len(before) == made.frames == len(TWO_SHOTS)
    assert times(after) == pytest.approx(times(before), abs=1e-3 if suffix != ".mpg" else 1.01 / RATE)
    errors = [np.abs(luma(one) - luma(other)).mean() for one, other in zip(before, after, strict=True)]
    assert max(errors) < 4
    assert made.luma_error == pytest.approx(np.mean([*errors[:8], *errors[12:20]]), abs=0.05)
    assert all((color_codes(frame) > 1).any() for frame in after)
    with av.open(str(source)) as one, av.open(str(made.path)) as other:
        assert [stream.type for stream in other.streams] == [stream.type for stream in one.streams]
        for stream in one.streams.audio:
            assert content(one, stream) == content(other, other.streams.audio[0])
        mark = other.metadata.get("comment", other.metadata.get("COMMENT", ""))
        assert (MARK in mark) == (suffix != ".mpg")
    assert not list(tmp_path.glob(".*"))


def content(container, stream):
    return b"".join(bytes(packet) for packet in container.demux(stream) if packet.size)


@pytest.mark.parametrize(("suffix", "codec"), [(".mpg", "mpeg2video"), (".avi", "mpeg4"), (".mkv", "libx264")])
def test_no_frame_of_a_longer_film_is_lost_even_if_it_is_stopped(colorizer, tmp_path, suffix, codec):
    lumas = [frame for number in range(5) for frame in scene(number, 40, 320, 240, 1)]
    source = write(tmp_path / f"one{suffix}", lumas, codec, max_b_frames=2)
    whole = colorize_video(source, colorizer, output=tmp_path / f"whole{suffix}")
    assert whole.frames == 200
    assert not [note for note in whole.notes if "damaged" in note or "left out" in note]
    with pytest.raises(KeyboardInterrupt):
        colorize_video(source, colorizer, progress=stopping_after(5))
    made = colorize_video(source, colorizer)
    assert made.frames == 200
    assert made.path.read_bytes() == whole.path.read_bytes()
    with av.open(str(made.path)) as film:
        assert film.streams.video[0].average_rate == RATE


def test_a_film_whose_frames_change_size_keeps_the_first(colorizer, tmp_path):
    source = tmp_path / "one.mkv"
    with av.open(str(source), "w") as film:
        stream = film.add_stream("mjpeg", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p"
        other = av.CodecContext.create("mjpeg", "w")
        other.height, other.width, other.pix_fmt, other.time_base = 96, 128, "yuvj420p", Fraction(1, RATE)
        for index in range(10):
            size = (96, 64) if index < 5 else (128, 96)
            encoder = stream if index < 5 else other
            for packet in encoder.encode(picture(scene(1, 1, *size)[0], "yuvj420p", index)):
                packet.stream = stream
                film.mux(packet)
    made = colorize_video(source, colorizer)
    assert (made.frames, made.size) == (10, (96, 64))
    assert any("changes its size" in note for note in made.notes)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_sound_may_be_longer_than_the_picture(colorizer, tmp_path, suffix):
    sound = np.concatenate([SOUND] * 4)
    source = write(tmp_path / f"one{suffix}", TWO_SHOTS, "mpeg4" if suffix == ".mkv" else "libvpx-vp9", sound=sound)
    assert not [note for note in colorize_video(source, colorizer).notes if "ends after" in note]


@pytest.mark.parametrize("suffix", [".avi", ".mpg"])
def test_the_range_is_narrowed_where_a_container_does_not_name_it(colorizer, tmp_path, suffix):
    ramp = np.linspace(0, 255, 96 * 64).reshape(64, 96).astype(np.uint8)
    source = write(tmp_path / "one.mkv", [ramp] * 5, "mjpeg", "yuvj420p")
    after = read(colorize_video(source, colorizer, output=tmp_path / f"two{suffix}").path)
    assert np.abs(after[2].to_ndarray(format="gray").astype(float) - ramp).mean() < 3


def test_a_film_that_starts_late_starts_at_once(colorizer, tmp_path):
    times_in = [2500 + 40 * index for index in range(12)]
    source = write(tmp_path / "one.mkv", scene(1), times=times_in, time_base=Fraction(1, 1000))
    (first, *_) = read(colorize_video(source, colorizer, output=tmp_path / "two.mp4").path)
    assert first.time < 0.1


def test_matroska_has_the_same_bytes_each_time(colorizer, tmp_path):
    source = write(tmp_path / "one.mkv", scene(1), "mpeg4")
    files = [colorize_video(source, colorizer, output=tmp_path / f"{name}.mkv").path.read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_sound_that_a_container_cannot_have_is_named(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", scene(1), sound=SOUND)
    made = colorize_video(source, colorizer, output=tmp_path / "two.mpg")
    assert any("audio" in note and "left out" in note for note in made.notes)
    with pytest.raises(ValueError, match=r"two\.ts: is no film; choose one of"):
        colorize_video(source, colorizer, output=tmp_path / "two.ts")


def test_subtitles_chapters_and_metadata_are_kept(colorizer, tmp_path):
    lines = "1\n00:00:00,000 --> 00:00:00,500\nHello\n\n"
    (tmp_path / "words.srt").write_text(lines)
    plain = write(tmp_path / "plain.mkv", TWO_SHOTS, "mpeg4", metadata={"title": "The wedding", "comment": "1931"})
    source = tmp_path / "one.mkv"
    with (
        av.open(str(plain)) as film,
        av.open(str(tmp_path / "words.srt")) as words,
        av.open(str(source), "w") as output,
    ):
        streams = {container: output.add_stream_from_template(container.streams[0]) for container in (film, words)}
        output.metadata.update(film.metadata)
        chapter = {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "Church"}}
        output.set_chapters([chapter])
        for container, stream in streams.items():
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    made = colorize_video(source, colorizer)
    with av.open(str(made.path)) as output:
        assert output.metadata["title"] == "The wedding"
        assert output.metadata["COMMENT"].startswith("1931; Colorized by Photochrom")
        assert [chapter["metadata"]["title"] for chapter in output.chapters()] == ["Church"]
        (packet, *_) = output.demux(output.streams.subtitles[0])
        assert bytes(packet) == b"Hello"


def test_frames_of_any_length_keep_their_times(colorizer, tmp_path):
    shown = [0, 40, 50, 170, 180, 190, 400, 401, 402, 900, 910, 1000]
    source = write(tmp_path / "one.mp4", scene(1), times=shown, time_base=Fraction(1, 1000))
    assert times(read(colorize_video(source, colorizer).path)) == pytest.approx(
        [time / 1000 for time in shown], abs=1e-4
    )


def test_ten_bits_stay(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", scene(1), pixels="yuv420p10le")
    after = read(colorize_video(source, colorizer).path)
    assert after[0].format.name == "yuv420p10le"
    assert np.abs(luma(after[3]) - luma(read(source)[3])).mean() < 8


@pytest.mark.parametrize("suffix", [".avi", ".webm", ".gif", ".mpg"])
def test_ten_bits_become_eight_where_there_are_no_more(colorizer, tmp_path, suffix):
    source = write(tmp_path / "one.mp4", scene(1), pixels="yuv420p10le")
    made = colorize_video(source, colorizer, output=tmp_path / f"two{suffix}")
    assert any("8 bits" in note for note in made.notes)
    shown = read(made.path)[3].to_ndarray(format="gray").astype(float)
    assert np.abs(shown - read(source)[3].to_ndarray(format="gray")).mean() < 8
    assert made.luma_error < 3


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_film_is_made_upright(colorizer, tmp_path, rotation):
    source = write(tmp_path / "one.mp4", scene(1), rotation=rotation)
    (frame, *_) = read(source)
    assert round(frame.rotation) % 360 == rotation
    made = colorize_video(source, colorizer)
    assert made.size == ((96, 64) if rotation == 180 else (64, 96))
    (after, *_) = read(made.path)
    assert round(after.rotation) == 0
    assert np.abs(luma(after) - np.rot90(luma(frame), rotation // 90)).mean() < 3


def test_an_interlaced_film_is_made_progressive(colorizer, tmp_path):
    source = write(tmp_path / "one.mkv", scene(1, 24), options={"x264-params": "interlaced=1:tff=1"})
    assert read(source)[0].interlaced_frame
    made = colorize_video(source, colorizer)
    assert "interlaced" in " ".join(made.notes)
    assert not read(made.path)[0].interlaced_frame
    assert len(read(made.path)) == 24


@pytest.mark.parametrize("size", [(95, 64), (96, 63), (33, 31)])
def test_odd_sizes_stay(colorizer, tmp_path, size):
    source = write(tmp_path / "one.mkv", scene(1, 6, *size), "ffv1")
    made = colorize_video(source, colorizer, output=tmp_path / "two.mp4")
    assert made.size == size
    assert luma(read(made.path)[0]).shape == size[::-1]


@pytest.mark.parametrize("pixels", ["gray", "rgb24", "yuv422p", "yuvj420p", "yuv444p"])
def test_any_pixel_format_keeps_its_luma(colorizer, tmp_path, pixels):
    frames = scene(1, 6)
    source = tmp_path / "one.mkv"
    with av.open(str(source), "w") as film:
        stream = film.add_stream("ffv1" if pixels != "yuvj420p" else "mjpeg", rate=RATE)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "bgr0" if pixels == "rgb24" else pixels
        for index, plane in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.stack([plane] * 3, -1), format="rgb24").reformat(
                format=stream.pix_fmt
            )
            frame.pts = index
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    after = read(colorize_video(source, colorizer).path)
    shown = after[3].to_ndarray(format="gray").astype(float)
    assert np.abs(shown - frames[3]).mean() < 6


def test_a_film_in_color_says_that_its_colors_were_replaced(colorizer, tmp_path):
    source = tmp_path / "one.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(source), "w") as film:
        stream = film.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        colors = rng.integers(0, 255, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(colors, format="rgb24").reformat(format="bgr0")
            frame.pts = index
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    assert any("in color" in note for note in colorize_video(source, colorizer).notes)


def test_an_animation_stays_one(colorizer, tmp_path):
    source = tmp_path / "one.gif"
    with av.open(str(source), "w") as film:
        stream = film.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 95, 63, "gray"
        for index, plane in enumerate(scene(1, 8, 95, 63)):
            frame = av.VideoFrame.from_ndarray(plane, format="gray")
            frame.pts = index
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    made = colorize_video(source, colorizer)
    after = read(made.path)
    assert len(after) == 8
    assert times(after) == pytest.approx(times(read(source)), abs=0.011)
    with av.open(str(source)) as one, av.open(str(made.path)) as other:
        assert one.duration == pytest.approx(other.duration, abs=20_000)  # microseconds
    rgb = after[2].to_ndarray(format="rgb24").astype(float)
    assert rgb.shape == (63, 95, 3)
    assert np.abs(rgb[..., 0] - rgb[..., 2]).mean() > 5
    assert np.abs(rgb.mean(-1) - scene(1, 8, 95, 63)[2]).mean() < 20


def test_the_same_film_gives_the_same_bytes(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", TWO_SHOTS)
    files = [colorize_video(source, colorizer, output=tmp_path / f"{name}.mp4").path.read_bytes() for name in "ab"]
    assert files[0] == files[1]


def stopping_after(seconds):
    def stop(done, _):
        if done > seconds:
            raise KeyboardInterrupt

    return stop


def test_a_film_that_was_stopped_goes_on(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", [*TWO_SHOTS, *scene(3)], sound=SOUND)
    whole = colorize_video(source, colorizer, output=tmp_path / "whole.mp4").path.read_bytes()
    for stop in (20, 30):
        with pytest.raises(KeyboardInterrupt):
            colorize_video(source, colorizer, progress=stopping_after(stop / RATE))
        assert not (tmp_path / "one-color.mp4").exists()
    parts = list((tmp_path / ".one-color.mp4.parts").glob("*.nut"))
    assert len(parts) >= 2
    seen = []
    made = colorize_video(source, colorizer, progress=lambda done, _: seen.append(done))
    assert min(seen) >= 24 / RATE - 0.01  # two shots were kept
    assert made.frames == 36
    assert made.path.read_bytes() == whole
    assert not list(tmp_path.glob(".*"))


def test_a_process_that_is_killed_loses_no_finished_shot(bundle, colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", [frame for number in range(30) for frame in scene(number, 12, 320, 240)])
    whole = colorize_video(source, colorizer, output=tmp_path / "whole.mp4").path.read_bytes()
    target, record = tmp_path / "one-color.mp4", tmp_path / ".one-color.mp4.parts/record.json"
    command = [sys.executable, "-m", "photochrom", "colorize", source, "--model", bundle]
    with subprocess.Popen(command) as process:
        wait_until(record.exists)
        process.kill()
    assert not target.exists()
    done = json.loads(record.read_text())["frames"]
    seen = []
    made = colorize_video(source, colorizer, progress=lambda seconds, _: seen.append(seconds))
    assert (made.frames, len(seen)) == (360, 360 - done)
    assert target.read_bytes() == whole


def test_the_last_frame_has_its_duration_where_only_the_end_is_read(tmp_path):
    with Film(write(tmp_path / "one.mp4", TWO_SHOTS)) as film:
        (*_, last) = film.frames()
        length, film.last_duration = film.last_duration, 0
        assert not list(film.frames(last.pts + 1, last.number + 1))
        assert film.last_duration == length == pytest.approx(1 / RATE)


def test_other_settings_begin_anew(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", TWO_SHOTS)
    expected = colorize_video(source, colorizer, output=tmp_path / "two.mp4", saturation=0.5).path.read_bytes()

    with pytest.raises(KeyboardInterrupt):
        colorize_video(source, colorizer, progress=stopping_after(20 / RATE))
    assert colorize_video(source, colorizer, saturation=0.5).path.read_bytes() == expected


def test_a_full_disk_leaves_no_half_film(colorizer, tmp_path, monkeypatch):
    source = write(tmp_path / "one.mp4", TWO_SHOTS)

    def full(*arguments, **options):
        arguments[2].write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(film_module, "join", full)
        with pytest.raises(WriteError, match="cannot be written \\(no space left on device"):
            colorize_video(source, colorizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".one-color.mp4.parts", "one.mp4"]
    assert colorize_video(source, colorizer).frames == 24


def test_a_film_that_is_cut_short_gives_what_can_be_read(colorizer, tmp_path):
    whole = tmp_path / "whole.mkv"
    write(whole, scene(1, 100, 320, 240), "mpeg4")
    source = tmp_path / "cut.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    made = colorize_video(source, colorizer)
    assert 20 < made.frames < 80
    assert any("cut short" in note or "damaged" in note for note in made.notes)


@pytest.mark.parametrize("content", [b"", b"no film at all", None])
def test_what_is_no_film_is_refused(colorizer, tmp_path, content):
    source = tmp_path / "one.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(PhotoError, match=r"one\.mp4: cannot be read \("):
        colorize_video(source, colorizer)
    assert not (tmp_path / "one-color.mp4").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_playlist_of_other_files_is_no_film(colorizer, tmp_path):
    write(tmp_path / "secret.ts", scene(1), "mpeg2video")
    lists = {
        "one.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "two.mp4": "ffconcat version 1.0\nfile secret.ts\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(PhotoError, match="cannot be read"):
            colorize_video(tmp_path / name, colorizer)


def test_sound_alone_is_refused(colorizer, tmp_path):
    source = tmp_path / "one.mp4"
    with av.open(str(source), "w") as film:
        stream = film.add_stream("aac", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(SOUND[None, :1024], format="s16", layout="mono")
        frame.rate = 48000
        film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    with pytest.raises(PhotoError, match="has no moving picture"):
        colorize_video(source, colorizer)


def test_what_exists_is_kept(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", TWO_SHOTS)
    colorize_video(source, colorizer)
    with pytest.raises(FileExists, match="exists already"):
        colorize_video(source, colorizer)
    colorize_video(source, colorizer, overwrite=True, saturation=0.5)
    other = shutil.copy(source, tmp_path / "other.mp4")
    with pytest.raises(FileExists, match="not made by Photochrom"):
        colorize_video(source, colorizer, output=other, overwrite=True)
    with pytest.raises(ValueError, match="is the original"):
        colorize_video(source, colorizer, output=source, overwrite=True)


def test_two_processes_do_not_write_one_film(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", TWO_SHOTS)
    reasons = []

    def again(*_):
        if not reasons:
            with pytest.raises(PhotoError) as error:
                colorize_video(source, colorizer)
            reasons.append(str(error.value))

    colorize_video(source, colorizer, progress=again)
    assert "another process" in reasons[0]


def test_a_preview_ends_after_some_seconds(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", TWO_SHOTS, sound=SOUND)
    made = colorize_video(source, colorizer, preview=0.4)
    assert made.frames == 10
    with av.open(str(made.path)) as output:
        assert output.duration / av.time_base < 0.6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"variants": 2}, "deterministic|variants"),
        ({"crf": 60}, "crf 60: must be an integer from 0 to 51"),
        ({"hints": ["1,2,#ff0000"]}, "begins with the number of a frame"),
        ({"seed": 3}, "deterministic"),
        ({"size": 0}, "size 0"),
    ],
)
def test_wrong_options_are_refused_at_once(colorizer, tmp_path, options, reason):
    source = write(tmp_path / "one.mp4", scene(1, 2))
    with pytest.raises(ValueError, match=reason):
        colorize_video(source, colorizer, **options)
    assert not (tmp_path / "one-color.mp4").exists()


def test_frames_over_the_limit_are_refused(colorizer, tmp_path):
    source = write(tmp_path / "one.mp4", scene(1, 2))
    with pytest.raises(PhotoError, match="96 x 64 pixels"):
        colorize_video(source, colorizer, max_pixels=1000)
