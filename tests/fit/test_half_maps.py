"""Whole reconstructions of a small phantom: halves that share nothing, options that act, maps near the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, Phantom, correlation, particles, phantom, shell_correlation, table_of

from gemmap.errors import GemError, InputError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.config import FitConfig
from gemmap.fit.half_maps import reconstruct_halves
from gemmap.fit.moments import Moment
from gemmap.fit.progress import Silent
from gemmap.fit.records import FitResult, Reconstruction
from gemmap.fit.schedule import Schedule
from gemmap.particles.frame import bring_to_frame, choose_frame
from gemmap.particles.stack import ArrayStack
from gemmap.particles.statements import flip_hand
from gemmap.validate.masks import spherical_mask

BOX, N, NOISE = 24, 300, 4.0
DENSITY = phantom(6, 40)
TRUTH = DENSITY.volume(BOX)
TABLE, IMAGES = particles(DENSITY, N, BOX, noise=NOISE)
DIAMETER_A = 17 * PIXEL_SIZE_A
AROUND = spherical_mask(BOX, 9.0, 2.0)


def run(table=TABLE, images=IMAGES, mask=None, progress=None, **options) -> Reconstruction:
    options.setdefault("particle_diameter_a", DIAMETER_A)
    options.setdefault("max_steps", 6)
    return reconstruct_halves(table, ArrayStack(images), FitConfig(**options), progress or Silent(), mask)


def fits(result: Reconstruction) -> dict[str, FitResult]:
    return {name: getattr(result, name) for name in ("half1", "half2", "full")}


def same(a: FitResult, b: FitResult) -> bool:
    maps = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("map", "backprojection", "voxels"))
    names = ("centres_a", "scales_a", "quaternions", "masses")
    gaussians = all(torch.equal(getattr(a.gaussians, name), getattr(b.gaussians, name)) for name in names)
    steps = [(s.step, s.loss) for s in a.steps] == [(s.step, s.loss) for s in b.steps]
    return maps and gaussians and steps and (a.seed, a.n_particles) == (b.seed, b.n_particles)


@pytest.fixture(scope="module")
def plain() -> Reconstruction:
    return run()


@pytest.mark.parametrize("diameter_a", [DIAMETER_A, None])
def test_nothing_of_half_2_reaches_half_1(diameter_a):
    """Other images, poses, scales and more of them in half 2: half 1 is the same to the last bit."""
    before = run(particle_diameter_a=diameter_a)
    ours, theirs = TABLE.half == 1, TABLE.half == 2
    other, other_images = particles(phantom(4, 10, seed=9), 400, BOX, noise=1.0, seed=7)
    rotations = np.concatenate([TABLE.rotations[ours], other.rotations])
    shifts_px = np.concatenate([TABLE.shifts_a[ours], other.shifts_a]) / PIXEL_SIZE_A
    mixed = table_of(rotations, shifts_px, BOX)
    mixed = replace(
        mixed, half=np.r_[np.ones(ours.sum(), int), np.full(400, 2)], scale=np.r_[TABLE.scale[ours], np.full(400, 1.3)]
    )
    after = run(mixed, np.concatenate([IMAGES[ours], other_images]), particle_diameter_a=diameter_a)
    assert same(before.half1, after.half1)
    np.testing.assert_array_equal(before.noise_spectra["half1_group0"], after.noise_spectra["half1_group0"])
    # The change was one that a leak would have shown, and half 2 is isolated likewise.
    assert correlation(before.half2.map, after.half2.map) < 0.9
    spoilt = np.where(ours[:, None, None], IMAGES * 2 + 1, IMAGES)
    assert same(before.half2, run(images=spoilt, particle_diameter_a=diameter_a).half2)
    assert theirs.sum() == before.half2.n_particles


def test_same_seed_same_bits_other_seed_other_bits(plain):
    again, other = run(), run(seed=1)
    for name, fit in fits(plain).items():
        assert same(fit, getattr(again, name))
        assert fit.seed != getattr(other, name).seed
        assert not torch.equal(fit.gaussians.centres_a[:100], getattr(other, name).gaussians.centres_a[:100])
    assert len({fit.seed for fit in fits(plain).values()}) == 3


def test_images_and_table_are_left_alone(plain):
    rotations, images = TABLE.rotations.copy(), IMAGES.copy()
    run()
    np.testing.assert_array_equal(TABLE.rotations, rotations)
    np.testing.assert_array_equal(IMAGES, images)


@pytest.mark.parametrize("grey", [1e-4, 1e4])
def test_the_unit_of_the_images_only_scales_the_maps(plain, grey):
    scaled = run(images=IMAGES * np.float32(grey))
    for name, fit in fits(plain).items():
        other = getattr(scaled, name)
        assert len(other.steps) == len(fit.steps)
        assert len(other.gaussians) == len(fit.gaussians)
        for kind in ("map", "backprojection", "voxels"):
            a, b = getattr(fit, kind), getattr(other, kind) / grey
            assert correlation(a, b) > 1 - 1e-4
            assert np.linalg.norm(a - b) < 5e-3 * np.linalg.norm(a)
        assert float(other.gaussians.masses.sum()) == pytest.approx(grey * float(fit.gaussians.masses.sum()), rel=1e-3)
        assert [s.loss for s in other.steps] == pytest.approx([s.loss for s in fit.steps], rel=1e-3)


def test_all_particles_beat_half_of_them_and_fits_beat_back_projection(plain):
    def quality(volume):
        return shell_correlation(volume * AROUND, TRUTH * AROUND)[1:].mean()

    assert quality(plain.full.map) > max(quality(plain.half1.map), quality(plain.half2.map))
    for fit in fits(plain).values():
        assert quality(fit.map) > quality(fit.backprojection) + 0.05
        assert correlation(fit.map, TRUTH) > correlation(fit.backprojection * AROUND, TRUTH)
    assert correlation(plain.full.map, TRUTH) > correlation(plain.full.voxels, TRUTH) - 0.01
    assert correlation(plain.full.map, TRUTH) > 0.9


def test_the_maps_are_in_the_grey_values_of_the_images(plain):
    inside = DENSITY.volume(BOX) > 0.35
    slope = np.vdot(plain.full.map[inside], TRUTH[inside]) / np.vdot(TRUTH[inside], TRUTH[inside])
    assert 0.75 < slope < 1.15
    assert float(plain.full.gaussians.masses.sum()) == pytest.approx(DENSITY.masses.sum(), rel=0.25)


def test_the_record_is_complete(plain):
    counts = [fit.n_particles for fit in fits(plain).values()]
    assert counts == [(TABLE.half == 1).sum(), (TABLE.half == 2).sum(), N]
    for fit in fits(plain).values():
        for volume in (fit.map, fit.backprojection, fit.voxels):
            assert volume.shape == (BOX,) * 3
            assert volume.dtype == np.float32
            assert np.isfinite(volume).all()
        assert [s.step for s in fit.steps] == list(range(len(fit.steps)))
        assert np.isfinite([s.loss for s in fit.steps]).all()
        assert fit.stopped_because
    assert plain.pixel_size_a == PIXEL_SIZE_A
    assert plain.particle_diameter_a == pytest.approx(DIAMETER_A)
    assert set(plain.noise_spectra) == {"half1_group0", "half2_group0"}
    for spectrum in plain.noise_spectra.values():
        assert spectrum[5 : BOX // 2] / BOX**2 == pytest.approx(NOISE**2, rel=0.2)
    assert plain.images_per_second > 0
    assert all(0.1 < plain.details[f"held_out_score_half{half}"] < 1.5 for half in (1, 2))
    assert all(seconds >= 0 for seconds in plain.seconds.values())


class Recorder:
    """Writes down what a fit tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.done: list[tuple[str, int, int]] = []
        self.moments: list[str] = []
        self._running: list[object] | None = None

    def start(self, stage: str, total: int, unit: str) -> None:
        assert self._running is None, "a stage starts within another"
        assert unit
        self._running = [stage, total, 0]

    def advance(self, done: int, text: str = "") -> None:
        assert self._running is not None, "progress outside a stage"
        assert done >= 0
        self._running[2] += done  # type: ignore[operator]

    def finish(self) -> None:
        assert self._running is not None
        self.done.append(tuple(self._running))  # type: ignore[arg-type]
        self.events.append(("stage", self._running[0]))
        self._running = None

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        self.events.append(("aggregate", name))

    def result(self, name: str, result: FitResult) -> None:
        self.events.append(("result", name))

    def moment(self, moment: Moment) -> None:
        assert self._running is not None, "a moment outside a stage"
        self.moments.append(moment.stage)


def test_news_comes_in_order():
    recorder = Recorder()
    run(progress=recorder, particle_diameter_a=None)
    kept = [event for event in recorder.events if event[0] in ("aggregate", "result")]
    assert kept == [
        ("aggregate", "half1"),
        ("result", "half1"),
        ("aggregate", "half2"),
        ("result", "half2"),
        ("result", "full"),
    ]
    notes = [str(text) for kind, text in recorder.events if kind == "note"]
    assert len(notes) == 2
    for half, text in enumerate(notes, start=1):
        assert text.startswith(f"half {half}: ")
        assert "--particle-diameter" in text
    assert recorder.events[:2] == [("note", text) for text in notes]
    stages = [place for place, event in enumerate(recorder.events) if event[0] == "stage"]
    assert len([place for place in stages if place < recorder.events.index(("aggregate", "half1"))]) >= 2
    for _, total, done in recorder.done:
        assert done <= total
    reading = [(total, done) for name, total, done in recorder.done if name.startswith("reading and inserting")]
    assert reading == [((TABLE.half == half).sum(),) * 2 for half in (1, 2)]


class Looking(Silent):
    """Looks at the map of every moment."""

    def __init__(self) -> None:
        self.seen: list[tuple[Moment, tuple[np.ndarray, ...]]] = []

    def moment(self, moment: Moment) -> None:
        self.seen.append((moment, moment.planes()))


@pytest.mark.parametrize("schedule", [None, Schedule(epochs=1, batch_size=32)], ids=["aggregate", "images"])
def test_looking_at_a_fit_changes_nothing(schedule):
    looking = Looking()
    watched, alone = run(progress=looking, schedule=schedule), run(schedule=schedule)
    assert all(same(a, b) for a, b in zip(fits(watched).values(), fits(alone).values(), strict=True))
    stages = list(dict.fromkeys(moment.stage for moment, _ in looking.seen))
    assert stages == ["trials half1", "fit half1", "trials half2", "fit half2", "fit full"]
    for stage in stages:
        kinds = [moment.kind for moment, _ in looking.seen if moment.stage == stage]
        assert kinds == sorted(kinds, reverse=True)  # voxels, then Gaussians
        assert set(kinds) == {"voxels", "Gaussians"}
    for name, result in fits(watched).items():
        told = [m for m, _ in looking.seen if (m.stage, m.kind) == (f"fit {name}", "Gaussians")]
        assert [(m.number, m.loss, m.n_gaussians) for m in told] == [
            (s.step, s.loss, s.n_gaussians) for s in result.steps
        ]
        # The last slices are those of the map, but for the residual and the unit of the fit.
        planes = looking.seen[[m for m, _ in looking.seen].index(told[-1])][1]
        low = (BOX - len(planes[0])) // 2
        final = result.map[BOX // 2, low : BOX - low, low : BOX - low]
        assert np.corrcoef(planes[0].ravel(), final.ravel())[0, 1] > 0.9
    scores = [(m.number, m.score) for m, _ in looking.seen if m.stage == "trials half1" and m.score is not None]
    assert tuple(scores) == watched.trial_scores["half1"]


def test_nobody_looks_and_no_map_is_computed():
    class Told(Silent):
        n = 0

        def moment(self, moment: Moment) -> None:
            self.n += 1
            object.__setattr__(moment, "cube", None)

    told = Told()
    run(progress=told)
    assert told.n > 50


def test_aggregates_are_handed_over_whole():
    class Keeper(Silent):
        def __init__(self) -> None:
            self.kept: dict[str, Aggregate] = {}

        def aggregate(self, name: str, aggregate: Aggregate) -> None:
            self.kept[name] = aggregate

    keeper = Keeper()
    result = run(progress=keeper)
    assert {name: a.n_particles for name, a in keeper.kept.items()} == {
        "half1": result.half1.n_particles,
        "half2": result.half2.n_particles,
    }
    total = keeper.kept["half1"] + keeper.kept["half2"]
    assert (total.n_particles, total.box_px) == (N, BOX)


@pytest.mark.parametrize("diameter_a", [DIAMETER_A, None])
def test_dark_particles_are_noticed(diameter_a):
    with pytest.raises(InputError, match=r"dark.*--invert"):
        run(images=-IMAGES, particle_diameter_a=diameter_a)


def test_a_mask_restricts_the_map(plain):
    mask = np.zeros((BOX,) * 3, np.float32)
    mask[:, :, BOX // 2 :] = 1.0
    masked = run(mask=mask)
    far = np.zeros(mask.shape, bool)
    far[:, :, : BOX // 2 - 4] = True
    for name, fit in fits(masked).items():
        free = getattr(plain, name)
        assert np.linalg.norm(fit.map[far]) < 0.01 * np.linalg.norm(free.map[far])
        assert correlation(fit.map[:, :, BOX // 2 + 2 :], TRUTH[:, :, BOX // 2 + 2 :]) > 0.6
        assert float(fit.gaussians.centres_a[:, 0].min()) > -3 * PIXEL_SIZE_A


def test_a_mask_that_misses_the_particle_is_refused():
    mask = np.zeros((BOX,) * 3, np.float32)
    mask[0, 0, 0] = 1.0
    with pytest.raises(InputError, match="The mask is empty inside the particle sphere: check its position and --part"):
        run(mask=mask)


def test_nothing_is_left_outside_the_sphere(plain):
    outside = spherical_mask(BOX, 8.5 + 8.0, 0.0) == 0
    for fit in fits(plain).values():
        assert not fit.map[outside].any()


@pytest.mark.parametrize("count", [1, 50])
def test_the_number_of_gaussians_is_honoured(count):
    for fit in fits(run(n_gaussians=count)).values():
        assert len(fit.gaussians) == count


@pytest.mark.parametrize("most", [1, 3])
def test_the_number_of_steps_is_honoured(most):
    for fit in fits(run(max_steps=most)).values():
        assert fit.steps[-1].step <= most


def test_every_optics_group_is_whitened_by_its_own_noise():
    table, clean = particles(DENSITY, N, BOX, noise=0.0, n_groups=2)
    level = np.where(table.optics_group == 0, 2.0, 14.0)[:, None, None]
    images = (clean + level * np.random.default_rng(8).normal(size=clean.shape)).astype(np.float32)
    told = run(table, images)
    mixed = replace(table, optics_group=np.zeros(N, int), optics=table.optics[:1])
    untold = run(mixed, images)
    assert set(told.noise_spectra) == {"half1_group0", "half1_group1", "half2_group0", "half2_group1"}
    for kind in ("map", "backprojection"):
        with_groups, without = (correlation(getattr(r.full, kind) * AROUND, TRUTH) for r in (told, untold))
        assert 1 - with_groups < 0.5 * (1 - without)


def test_a_group_that_one_half_lacks_does_no_harm():
    groups = np.where(TABLE.half == 1, 0, np.arange(N) % 2)
    split = replace(TABLE, optics_group=groups, optics=TABLE.optics * 2)
    assert correlation(run(split).full.map, TRUTH) > 0.9


def test_views_of_a_symmetric_direction_only(plain):
    """All views along one axis: most of Fourier space is empty, and the fit still ends with finite maps."""
    one_axis = replace(TABLE, rotations=np.broadcast_to(np.eye(3), (N, 3, 3)).copy())
    images = DENSITY.images(one_axis.rotations, TABLE.shifts_a / PIXEL_SIZE_A, BOX)
    noise = NOISE * np.random.default_rng(0).normal(size=images.shape)
    for fit in fits(run(one_axis, (images + noise).astype(np.float32))).values():
        assert np.isfinite(fit.map).all()


@pytest.mark.parametrize("box", [23, 25])
def test_odd_boxes(box):
    table, images = particles(DENSITY, N, box, noise=NOISE)
    result = run(table, images)
    assert correlation(result.full.map, DENSITY.volume(box)) > 0.9


def test_dead_images_are_left_out_and_more_than_one_percent_are_refused():
    """One that the noise sample and the diameter would look at, in each engine."""
    images = IMAGES.copy()
    images[7, 3, 3], images[8] = np.nan, 2.0
    for options in ({}, {"particle_diameter_a": None}, {"schedule": Schedule(epochs=1, batch_size=25)}):
        result = run(images=images, **options)
        assert result.dead_rows.tolist() == [7, 8]
        assert result.full.n_particles == N - 2
        assert correlation(result.full.map, TRUTH) > 0.9
    images[9:11] = 0.0
    with pytest.raises(GemError, match=r"4 of 300 images, as far as they were read, are dead"):
        run(images=images)


def test_an_optics_group_of_dead_images_takes_the_noise_of_the_others():
    images = IMAGES.copy()
    images[:2] = 0.0
    group = (np.arange(N) < 2).astype(int)
    table = replace(TABLE, optics_group=group, optics=TABLE.optics * 2)
    spectra = run(table, images).noise_spectra
    assert all(np.isfinite(curve).all() for curve in spectra.values())


def test_pure_noise_gives_maps_that_do_not_agree():
    noise = np.random.default_rng(3).normal(size=IMAGES.shape).astype(np.float32)
    result = run(images=noise)
    between = shell_correlation(result.half1.map * AROUND, result.half2.map * AROUND)
    assert between[4:].mean() < 0.2


def test_nothing_of_half_2_reaches_half_1_in_the_images_engine():
    """Not even by the mean noise that plain squared errors are divided by."""
    schedule = Schedule(epochs=1, batch_size=25, loss="mse")
    before = run(schedule=schedule)
    louder = np.where((TABLE.half == 2)[:, None, None], IMAGES * 3 + 1, IMAGES)
    after = run(images=louder, schedule=schedule)
    assert same(before.half1, after.half1)
    assert not same(before.half2, after.half2)


def test_the_final_fit_weighs_each_half_by_its_own_noise():
    """Half 2 three times as loud with the same noise spectra by mistake would be another map."""
    schedule = Schedule(epochs=1, batch_size=25)
    louder = np.where((TABLE.half == 2)[:, None, None], IMAGES + 10 * noise_images(), IMAGES)
    result = run(images=louder, schedule=schedule)
    assert correlation(result.full.map, TRUTH) > correlation(result.half2.map, TRUTH)
    assert result.full.n_particles == N
    assert result.full.steps[-1].step == N // 25


def noise_images() -> np.ndarray:
    return np.random.default_rng(5).normal(size=IMAGES.shape).astype(np.float32)


@pytest.mark.parametrize("engine", ["aggregate", "images"])
def test_the_background_is_windowed_in_both_engines(engine, monkeypatch):
    """Whatever lies outside the particle's circle has no effect, once the noise was measured."""
    radius_px = 6.0
    options = {
        "particle_diameter_a": 2 * radius_px * PIXEL_SIZE_A,
        "schedule": Schedule(epochs=1, batch_size=50) if engine == "images" else None,
    }
    rng = np.random.default_rng(0)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    # Beyond the edge of the circle wherever the particle is; its mean over the background is 0.
    outside = np.hypot(x, y) > radius_px + 6.0 + 1.5 * np.sqrt(2)
    junk = outside * rng.normal(size=(N, BOX, BOX))
    junk -= outside * (junk.sum(axis=(1, 2)) / outside.sum())[:, None, None]
    spoilt = (IMAGES + 20 * junk).astype(np.float32)
    monkeypatch.setattr("gemmap.fit.source.noise_power_of_groups", lambda *_: np.full((1, BOX), (NOISE * BOX) ** 2))
    windowed = [run(images=images, window=True, **options) for images in (IMAGES, spoilt)]
    for name in ("map", "backprojection"):
        first, second = (getattr(result.full, name) for result in windowed)
        assert correlation(first, second) > 0.9999
    assert correlation(run(images=spoilt, **options).full.backprojection, windowed[0].full.backprojection) < 0.99


def test_gain_and_offset_of_images_matter_no_more_when_normalised():
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0.3, 3.0, (2, N, 1, 1)).astype(np.float32)
    ramp = (np.arange(BOX) * 0.2).astype(np.float32)
    spoilt = run(images=gain * (IMAGES + offset + ramp), normalise=True)
    clean = run(normalise=True)
    for a, b in zip(fits(spoilt).values(), fits(clean).values(), strict=True):
        assert correlation(a.backprojection, b.backprojection) > 0.99999
    # White noise of deviation 1 has power 24^2 in every shell; the ramp takes some of the lowest.
    np.testing.assert_allclose(clean.noise_spectra["half1_group0"][4:12], BOX**2, rtol=0.06)


def test_flipped_poses_give_the_map_inverted_through_its_origin(plain):
    """The planes without partners at the edges of an even box stay out."""
    flipped = run(flip_hand(TABLE))
    for name in ("half1", "half2", "full"):
        inverted = getattr(plain, name).backprojection[1:, 1:, 1:][::-1, ::-1, ::-1]
        got = getattr(flipped, name).backprojection[1:, 1:, 1:]
        np.testing.assert_allclose(got, inverted, atol=2e-5 * np.abs(inverted).max())
    assert correlation(flipped.full.map[1:, 1:, 1:], plain.full.map[1:, 1:, 1:][::-1, ::-1, ::-1]) > 0.999
    assert correlation(flipped.full.map, plain.full.map) < 0.9


@pytest.mark.parametrize("box", [BOX, 18])
def test_a_smaller_working_box_gives_the_same_density(box):
    """Twice, and 8/3 times, the pixel size: voxels of the map are as much deeper, and hold as much more."""
    fine = 48
    density = phantom(12, 40, sigma=3.0)
    table, images = particles(density, 400, fine, noise=0.5)
    framed, stack = bring_to_frame(table, ArrayStack(images), choose_frame(table, box_px=box))
    config = FitConfig(particle_diameter_a=34 * PIXEL_SIZE_A, max_steps=6)
    result = reconstruct_halves(framed, stack, config, Silent())
    step = fine / box
    coarse = Phantom(density.centres / step, density.masses, density.sigma / step)
    # Masses are those of the fine grid: an image's pixel is a line integral whatever its size.
    truth = coarse.volume(box) / step**2
    assert result.pixel_size_a == pytest.approx(PIXEL_SIZE_A * step)
    assert len(result.full.map) == box
    assert correlation(result.full.map, truth) > 0.99
    assert (result.full.map * truth).sum() / (truth**2).sum() == pytest.approx(1.0, abs=0.05)
    assert shell_correlation(result.full.backprojection, truth)[1 : box // 6].min() > 0.99
