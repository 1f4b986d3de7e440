"""GaborSTRF: equal backends with equal gradients, finite for any raw value, kernels as defined, time kept."""

import math

import pytest
import torch

from audiointerp.backbones.strf import OUTPUTS, PARAMETERS, GaborSTRF, Tuning, quickest
from audiointerp.backbones.strf_backends import BACKENDS, dense
from audiointerp.study import UserError


def layer(filters=6, frames=21, bins=9, **settings):
    return GaborSTRF(filters, frames=frames, bins=bins, **settings)


def spectrograms(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def looped_kernel(tuning, index, frames, bins, rate, density):
    """One kernel tap by tap, from its definition."""
    omega, big_omega, sigma_t, sigma_f = (float(getattr(tuning, name)[index].detach()) for name in PARAMETERS)
    kernel = torch.zeros(frames, bins, dtype=torch.complex128)
    for i in range(frames):
        for j in range(bins):
            t, f = (i - frames // 2) / rate, (j - bins // 2) / density
            envelope = math.exp(-(t**2) / (2 * sigma_t**2) - f**2 / (2 * sigma_f**2))
            phase = 2 * math.pi * (omega * t + big_omega * f)
            kernel[i, j] = envelope * complex(math.cos(phase), math.sin(phase))
    return kernel / (2 * math.pi * sigma_t * rate * sigma_f * density)


def looped_response(padded, kernel):
    frames, bins = kernel.shape
    out = torch.zeros(padded.shape[0] - frames + 1, padded.shape[1] - bins + 1, dtype=kernel.dtype)
    for t in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[t, f] = (padded[t : t + frames, f : f + bins] * kernel).sum()
    return out


def test_kernels_and_responses_are_those_of_a_loop_over_the_definition():
    strf = layer(3, 7, 5, frame_rate=50.0, bins_per_octave=8.0).double()
    kernels = strf.kernels()
    spectrogram = spectrograms(1, 9, 8, dtype=torch.float64)
    padded = torch.nn.functional.pad(spectrogram[:, None], (2, 2, 3, 3), mode="replicate")[0, 0]
    responses = strf(spectrogram)[0]
    for index in range(3):
        expected = looped_kernel(strf.tuning(), index, 7, 5, 50.0, 8.0)
        assert torch.allclose(kernels[index], expected, atol=1e-12)
        response = looped_response(padded, expected)
        assert torch.allclose(responses[index], response.real, atol=1e-12)
        assert torch.allclose(responses[3 + index], response.imag, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"zero_mean": True, "unit_norm": True, "edges": "zeros"}])
@pytest.mark.parametrize("output", OUTPUTS)
def test_backends_agree_with_the_gradients_of_all_four_parameters(settings, output):
    strf = layer(output=output, **settings).double()
    spectrogram = spectrograms(2, 30, 20, dtype=torch.float64).requires_grad_()
    weight = spectrograms(2, strf.channels, 30, 20, seed=1, dtype=torch.float64)
    given = {}
    for backend in BACKENDS:
        strf.backend = backend
        response = strf(spectrogram)
        inputs = [spectrogram, *(getattr(strf, f"raw_{name}") for name in PARAMETERS)]
        given[backend] = [response, *torch.autograd.grad((response * weight).sum(), inputs)]
    for backend in ("separable", "fourier"):
        for own, full in zip(given[backend], given["full"], strict=True):
            assert float((own - full).abs().max()) <= 1e-12 * max(1.0, float(full.abs().max()))
    assert all(float(gradient.abs().min()) > 0 for gradient in given["full"][2:])


def test_gradients_are_those_of_finite_differences():
    strf = layer(2, 7, 5, zero_mean=True, unit_norm=True, output="magnitude").double()
    spectrogram = spectrograms(1, 8, 6, dtype=torch.float64)
    raws = [getattr(strf, f"raw_{name}").detach().clone().requires_grad_() for name in PARAMETERS]

    def respond(*values):
        named = {f"raw_{name}": value for name, value in zip(PARAMETERS, values, strict=True)}
        return torch.func.functional_call(strf, named, spectrogram)

    assert torch.autograd.gradcheck(respond, raws)


@pytest.mark.parametrize("settings", [{}, {"zero_mean": True, "unit_norm": True}, {"published": True}])
@pytest.mark.parametrize("seed", range(3))
def test_any_raw_value_gives_finite_responses_and_gradients(settings, seed):
    strf = layer(1000, 15, 7, output="magnitude", **settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in strf.parameters():
            size = 10.0 ** (12.0 * torch.rand(1000, generator=generator) - 4.0)
            parameter.copy_(size * torch.randn(1000, generator=generator))
            parameter[:2] = torch.tensor([0.0, -3e38])
    response = strf(spectrograms(1, 9, 9))
    response.sum().backward()
    assert response.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in strf.parameters())
    assert float(strf.kernels().detach().abs().max()) <= 1.0


def test_every_parameter_moves_in_training():
    strf = layer(8, zero_mean=True, unit_norm=True, output="magnitude")
    before = {name: value.detach().clone() for name, value in strf.named_parameters()}
    target = spectrograms(4, 8, seed=2)
    optimizer = torch.optim.Adam(strf.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (strf(spectrograms(4, 30, 16)).mean((2, 3)) - target).square().mean().backward()
        optimizer.step()
    for name, value in strf.named_parameters():
        assert float((value.detach() - before[name]).abs().min()) > 1e-3, name


def test_a_batch_of_one_is_its_row_in_a_batch_of_many():
    strf = layer(output="magnitude")
    many = spectrograms(7, 40, 16)
    for backend in BACKENDS:
        strf.backend = backend
        together = strf(many)
        assert max(float((strf(many[i : i + 1])[0] - together[i]).abs().max()) for i in range(7)) < 1e-5


@pytest.mark.parametrize("at", [0, 12, 29])
def test_an_impulse_peaks_at_its_frame_and_bin(at):
    strf = layer(16, output="magnitude", edges="zeros")
    spectrogram = torch.zeros(1, 30, 16)
    spectrogram[0, at, 7] = 1.0
    response = strf(spectrogram)[0].flatten(1)
    peaks = response.argmax(1)
    assert torch.equal(peaks // 16, torch.full((16,), at)) and torch.equal(peaks % 16, torch.full((16,), 7))


def test_most_of_an_envelope_lies_inside_its_support():
    strf = layer(200, 31, 25)
    tuning = strf.tuning()
    mass_t = torch.erf(15.5 / 100.0 / tuning.sigma_t / math.sqrt(2.0))
    mass_f = torch.erf(12.5 / 10.0 / tuning.sigma_f / math.sqrt(2.0))
    assert float((mass_t * mass_f).min()) > 0.99
    with torch.no_grad():
        strf.raw_sigma_t.fill_(1e9)
        strf.raw_sigma_f.fill_(1e9)
    tuning = strf.tuning()
    assert float(torch.erf(15.5 / 100.0 / tuning.sigma_t / math.sqrt(2.0)).min()) > 0.95


def test_zero_mean_and_unit_norm_hold():
    kernels = layer(64, 31, 15, zero_mean=True, unit_norm=True).kernels().detach()
    assert float(kernels.sum((1, 2)).abs().max()) < 1e-4
    assert torch.allclose(kernels.abs().square().sum((1, 2)), torch.ones(64), atol=1e-3)
    assert float(layer(64, 31, 15).kernels().detach().sum((1, 2)).abs().max()) > 0.1


def test_parameters_set_are_parameters_read():
    strf = layer(2)
    wanted = Tuning(
        torch.tensor([-4.0, 12.5]), torch.tensor([0.0, 1.5]), torch.tensor([0.02, 0.03]), torch.tensor([0.1, 0.12])
    )
    strf.set_tuning(wanted)
    read = strf.tuning()
    assert all(torch.allclose(getattr(read, name), getattr(wanted, name), atol=1e-5) for name in PARAMETERS)
    with pytest.raises(ValueError, match="values of sigma_t between 0.005 and 0.035"):
        strf.set_tuning(Tuning(wanted.omega, wanted.Omega, torch.tensor([0.2, 0.02]), wanted.sigma_f))
    with pytest.raises(ValueError, match="expected 2 values of omega"):
        strf.set_tuning(Tuning(torch.tensor([50.0, 1.0]), wanted.Omega, wanted.sigma_t, wanted.sigma_f))


def test_the_seed_decides_the_initial_values_and_nothing_global_does():
    torch.manual_seed(1)
    first = layer(seed=3).state_dict()
    torch.manual_seed(2)
    again, other = layer(seed=3).state_dict(), layer(seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_the_published_grid_and_initial_values():
    strf = layer(500, 111, 9, published=True)
    assert torch.allclose(strf._f, torch.linspace(-4, 5, 9)) and float(strf._f[1] - strf._f[0]) == 1.125
    assert torch.allclose(strf._t, torch.linspace(-55, 56, 111))
    tuning = strf.tuning()
    rate = 2 * math.pi * torch.hypot(tuning.omega / 100.0, tuning.Omega / 10.0)  # [rad/sample]
    assert math.pi / 2 * 1.41**-5 * 0.999 < float(rate.min()) < float(rate.max()) < math.pi / 2 * 1.001
    for sigma in (tuning.sigma_t * 100.0, tuning.sigma_f * 10.0):
        assert 1.99 < float(sigma.min()) < 2.2 and 14.0 < float(sigma.max()) < 2 * 1.41**6 * 1.001
    energy = strf.kernels().detach().abs().square().sum(1)
    centre = (energy * strf._f).sum(1) / energy.sum(1)
    assert float(centre.mean()) > 0.1  # off its centre, towards high frequencies


def test_the_quickest_backend_is_taken_unless_another_is_asked_for(monkeypatch):
    taken = []
    for name, function in list(BACKENDS.items()):
        monkeypatch.setitem(BACKENDS, name, lambda *given, n=name, f=function: taken.append(n) or f(*given))
    spectrogram = spectrograms(1, 12, 12)
    for backend in ("auto", *BACKENDS):
        layer(backend=backend)(spectrogram)
    assert taken == [quickest(21, 9), *BACKENDS]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "phase"}, "expected output to be one of real, imaginary"),
        ({"edges": "reflect"}, "expected edges to be one of replicate, zeros, got 'reflect'"),
        ({"backend": "fft"}, "expected backend to be auto, full, separable, fourier, got 'fft'"),
        ({"frames": 20}, "expected odd supports of at least 3 frames and bins, got 20 and 9"),
        ({"bins": 1}, "expected odd supports"),
        ({"filters": 0}, "at least one filter"),
        ({"frame_rate": 0.0}, "frame_rate, bins_per_octave and eps above 0"),
        ({"reach": 0.5}, "a reach of 1 to 6 standard deviations, got 0.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        layer(**settings)


def test_an_input_with_a_channel_axis_is_refused():
    with pytest.raises(ValueError, match=r"shape \(B, T, F\), got \(1, 1, 30, 16\)"):
        layer()(torch.zeros(1, 1, 30, 16))


def test_dense_kernels_are_sums_of_outer_products():
    temporal, spectral = (spectrograms(2, 3, 4, seed=seed).to(torch.complex64) for seed in (0, 1))
    expected = sum(torch.outer(temporal[r, 1], spectral[r, 1]) for r in range(2))
    assert torch.allclose(dense(temporal, spectral)[1], expected, atol=1e-6)
