"""Lines that are drawn here, so that what they say is known: words, numbers and codes in Pillow's own font."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.contract import Dataset, Split
from edgepipe.data.line_settings import LineSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORDS = (
    "able acid also area army away baby back ball band bank base bath bear beat bell best bird blue boat body bond "
    "bone book born both bowl bulk burn bush busy calm camp card care case cash cast cell city club coal coat code "
    "cold come cook cool copy core cost crew crop dark data date dawn days dead deal dear debt deep desk dial diet "
    "dirt dish door down draw drop drug dual duke dust duty earn ease east easy edge exit face fact fail fair fall "
    "farm fast fear feed feel file fill film find fine fire firm fish flat flow food foot form free fuel full fund "
    "gain game gate gear gift girl give glad goal gold good gray grow hair half hall hand hard harm head heat help "
    "hero hill hire hold hole home hope host hour hunt idea inch iron item join jump just keep kind king lack lady "
    "lake land lane last late lead left less life lift light line list live load loan lock long look loss love luck "
    "made mail main mark mass meal mean meet menu mile milk mind mine moon more move much name near neck need news "
    "next nice noon note open oral pack page paid pain pair park part past path peak pick pink pipe plan play plot "
    "plus poem pool post pull pure push quiz race rail rain rank rate read rent rest rice rich ride ring rise risk "
    "road rock role roof room root rose rule rush safe sail salt same sand save seat seed sell send ship shop show "
    "sick side sign site size skin slow snow soft soil song soon sort soul spot star stay step stop such suit sure "
    "take tale talk tank tape task team tech tell term test text thin tide time tiny tone tool tour town tree trip "
    "true tube turn type unit user vast view vote wage wait walk wall want warm wash wave weak wear week west wide "
    "wild wind wine wing wire wise wish wood word work yard year zero zone"
)
_CODE = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


class DrawnTextData(LineSettings):
    """Lines drawn by seed with the font that Pillow brings: words, prices, dates and codes; no download.

    Letters vary in size, width, slant, weight, colour and noise. Each line is drawn when it is asked for.
    """

    evaluation_size: int = Field(500, ge=1, le=100_000, description="lines to measure with")
    train_size: int = Field(500, ge=0, le=1_000_000, description="other lines, to train and calibrate with")
    words: int = Field(3, ge=1, le=12, description="words, numbers and codes of a line, at most")
    noise: float = Field(8.0, ge=0, le=64, description="standard deviation of what is added to each pixel, of 255")

    def open(self, cache: Path) -> Dataset:
        """Draw and hash all lines once; `cache` keeps the hashes, for as long as they are drawn with the same."""
        import numpy as np

        from edgepipe.data.hashes import recall, remember
        from edgepipe.data.lines import Lines, LineSource

        where = "data=drawn_text"
        if self.calibration_size > self.train_size:
            raise DataError(f"{where}: data.calibration_size={self.calibration_size} of {self.train_size}: lower it")
        count = self.evaluation_size + self.train_size
        texts = [text_of(self.seed, row, self.words) for row in range(count)]

        def draw(row: int) -> NDArray[np.uint8]:
            return drawn(texts[row], self.seed, row, self.noise)

        about = [self.seed, count, self.words, self.noise, *_drawing_with()]
        memory = cache / f"drawn-{hashlib.sha256(repr(about).encode()).hexdigest()[:24]}.json"
        hashes = recall(memory)
        if not isinstance(hashes, list) or len(hashes) != count:
            hashes = [hashlib.sha256(_bytes(draw(row))).hexdigest() for row in range(count)]
            remember(memory, hashes)
        pool = Lines([f"drawn_text[{row}]" for row in range(count)], texts, hashes, draw)
        train = pool.take(np.arange(self.evaluation_size, count))
        views = {
            Split.TRAIN: train,
            Split.CALIBRATION: train.take(np.arange(self.calibration_size)),
            Split.EVALUATION: pool.take(np.arange(self.evaluation_size)),
        }
        return LineSource(where, self, views)


def _drawing_with() -> list[str]:
    """What the pixels hang on beside the settings."""
    import numpy as np
    from PIL import __version__, features

    return [np.__version__, __version__, str(features.version("freetype2")), Path(__file__).read_text("utf-8")]


def _bytes(picture: NDArray[np.uint8]) -> bytes:
    return f"{picture.shape}".encode() + picture.tobytes()


def _generator(seed: int, row: int, what: str) -> np.random.RandomState:
    """Of a stream that numpy keeps for ever, as it does not of its newer generators."""
    import numpy as np

    return np.random.RandomState(int(hashlib.sha256(f"{seed} {row} {what}".encode()).hexdigest()[:8], 16))


def text_of(seed: int, row: int, most_words: int) -> str:
    """What line `row` says: 1 to `most_words` words, numbers, prices, dates or codes."""
    drawn = _generator(seed, row, "text")
    return " ".join(_word(drawn) for _ in range(1 + drawn.randint(most_words)))


def _word(drawn: np.random.RandomState) -> str:
    kind = drawn.randint(10)
    if kind < 5:
        words = _WORDS.split()
        word = words[drawn.randint(len(words))]
        return (word, word.capitalize(), word.upper())[drawn.randint(3)]
    if kind == 5:
        return str(drawn.randint(10 ** (1 + drawn.randint(6))))
    if kind == 6:
        return f"{drawn.randint(1000)}.{drawn.randint(100):02}"
    if kind == 7:
        return f"{1 + drawn.randint(28):02}.{1 + drawn.randint(12):02}.{1950 + drawn.randint(100)}"
    if kind == 8:
        return f"{drawn.randint(24):02}:{drawn.randint(60):02}"
    return "".join(_CODE[drawn.randint(len(_CODE))] for _ in range(3 + drawn.randint(5)))


def drawn(text: str, seed: int, row: int, noise: float) -> NDArray[np.uint8]:
    """A picture of a text: uint8, (height, width, 3), 40 to 70 pixels high.

    Raises:
        DataError: Pillow was built without FreeType, which draws letters.
    """
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter, ImageFont, features

    if not features.check("freetype2"):
        raise DataError("data=drawn_text: this Pillow was built without FreeType: pip install --force-reinstall pillow")
    how = _generator(seed, row, "look")
    size = 24 + how.randint(25)
    font = ImageFont.load_default(size)
    margin, weight = size // 3, how.randint(2) if size > 30 else 0
    left, top, right, bottom = (round(side) for side in font.getbbox(text, stroke_width=weight))
    mask = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin))
    ImageDraw.Draw(mask).text((margin - left, margin - top), text, 255, font, stroke_width=weight)
    wide = (0.85 + 0.4 * how.rand()) * mask.width
    slant = 0.25 * (how.rand() - 0.4)
    # Each row of pixels shifted in proportion to its height: letters lean; what leaves the picture is margin.
    mask = mask.transform(
        mask.size, Image.Transform.AFFINE, (1, slant, -slant * mask.height / 2, 0, 1, 0), Image.Resampling.BILINEAR
    )
    mask = mask.resize((max(1, round(wide)), mask.height), Image.Resampling.BILINEAR)
    if how.rand() < 0.3:
        mask = mask.filter(ImageFilter.GaussianBlur(0.4 + 0.6 * how.rand()))
    paper, ink = 150 + how.randint(0, 106, 3), how.randint(0, 90, 3)
    if how.rand() < 0.3:
        paper, ink = ink, paper
    share = np.asarray(mask, np.float64)[..., None] / 255
    pixels = paper * (1 - share) + ink * share + noise * how.standard_normal((*share.shape[:2], 1))
    found: NDArray[np.uint8] = np.rint(pixels.clip(0, 255)).astype(np.uint8)
    return found
