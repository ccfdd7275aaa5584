"""The vocabulary of labels: which words mean normal, defect or unlabelled, in a CSV file, an inbox and a folder of images alike.

A word is compared without capitals, accents, and the difference of spaces, hyphens and underscores. A word that is not in the
vocabulary is the name of a kind of defect, unless it resembles a word for normal or unlabelled: then it is refused, with the key of
params.yaml that gives it a meaning. A guess would make defects good parts.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from zeromiss.errors import ZeromissError
from zeromiss.stage_params import LabelParams

NORMAL, DEFECT, UNLABELLED = "normal", "defect", "unlabelled"
UNNAMED = "defect"  # the kind of a defect that has no name

# language: words for normal, for a defect without a name, and for an image that has no label yet
LANGUAGES: Mapping[str, tuple[str, str, str]] = {
    "English": (
        "good, normal, ok, okay, pass, passed, clean, flawless, intact, no defect, no defects, defect free, faultless, without defect, non defective, accepted",
        "defect, defects, defective, ng, nok, ko, not ok, not good, no good, bad, fail, failed, reject, rejected, anomaly, anomalous, abnormal, faulty",
        "unlabelled, unlabeled, unknown, unsure, uncertain, unclear, undecided, unclassified, unsorted, unjudged, unreviewed, new, todo, to do, defect or good",
    ),
    "German": ("gut, io, i o, in ordnung, gutteil, gutteile, fehlerfrei, kein fehler, keine fehler", "nio, n i o, nicht in ordnung, nicht ok, schlecht, schlechtteil, schlechtteile, fehler, fehlerhaft, defekt, ausschuss", "unbekannt, unsicher, unklar, ungeprüft, unsortiert"),
    "French": ("bon, bonne, conforme, sans défaut", "défaut, défectueux, mauvais, non conforme, rebut", "inconnu, incertain, à vérifier"),
    "Spanish": ("bueno, buena, sin defecto, sin defectos", "malo, mala, defecto, defectuoso, no conforme, rechazado", "desconocido, dudoso, sin etiqueta"),
    "Italian": ("buono, buona, senza difetto, senza difetti", "difetto, difettoso, scarto, non conforme", "sconosciuto, incerto, da verificare"),
    "Portuguese": ("bom, boa, sem defeito, sem defeitos", "defeito, defeituoso, ruim, não conforme", "desconhecido, incerto, sem rótulo"),
    "Dutch": ("goed, goedgekeurd, zonder defect", "slecht, afgekeurd", "onbekend, onzeker"),
    "Polish": ("dobry, dobra, bez wad", "wada, wadliwy, zły", "nieznany, niepewny"),
    "Czech": ("dobrý, dobré, bez vady", "vada, vadný, zmetek", "neznámý, nejistý"),
    "Turkish": ("iyi, sağlam, hatasız", "hatalı, kusurlu, hata", "bilinmeyen, belirsiz"),
    "Japanese": ("良品, 正常, 合格", "不良, 不良品, 異常, 不合格", "不明, 未分類, 未判定"),
    "Chinese": ("良品, 正常, 合格, 合格品", "不良品, 异常, 異常, 不合格, 缺陷", "未知, 未标注, 未標註, 不确定"),
    "Korean": ("양품, 정상, 합격", "불량, 불량품, 비정상, 불합격", "미분류, 미확인"),
}
_NUMBERS = {"0": NORMAL, "1": DEFECT}  # of a column; a folder's number may be a camera's, a day's or a lot's
_ASKED = frozenset(  # say nothing by themselves, or one thing here and another there
    "true false yes no y n ja nein oui non si sim none null nil nan na n a null keine kein other others misc undefined undetermined unspecified pending "
    "review to review check maybe fine perfect correct correctly valid accept acceptable conform conforming healthy undamaged undefected nondefective "
    "usable golden reference background default unchecked untested uninspected half good not bad".split()
) | {"to review", "half good", "not bad", "n a", "not sure", "don t know", "no label", "best", "great", "nice", "sound", "free"}
_NOT_GOOD = frozenset({"abnormal", "abnormality", "anormal", "incorrect", "imperfect", "unclean", "unconform", "nonconforming", "invalid", "unusable", "unhealthy"})
_NEGATIONS = frozenset("no non not without free zero kein keine ohne nicht sans pas sin senza sem geen zonder bez".split())
_FAULTS = frozenset("anomalies crack cracks damage damages dent dents error errors fault faults finding findings flaw flaws issue issues problem problems scratch scratches".split())
_IN_ALL = ("good", "normal", "unknown", "unlabel", "defectfree", "nodefect")  # a word that holds one of these resembles it
_EAST = re.compile("[良合正]格?|[양정합][품상격]|[不未][明知分判标標确]")
_CLOSE = 0.8  # similarity of two words (difflib's ratio) from which one may be a slip of the other
_SHORTEST = 4  # letters of a word that can have a slip


class Label(NamedTuple):
    """What a word means: `label` is normal, defect or unlabelled, `kind` the canonical name of the defect ('' for the others)."""

    label: str
    kind: str = ""


class Vocabulary:
    """Reads labels by the words of all languages and those that a product adds, which come first."""

    def __init__(self, added: LabelParams | None = None, *, key: str = "ingest.labels") -> None:
        """Take the words of `ingest.labels`; `key` is the section's name in params.yaml, for sentences."""
        self._key = key
        self._words = {word: meaning for words in LANGUAGES.values() for meaning, text in zip((NORMAL, DEFECT, UNLABELLED), words, strict=True) for word in _keys(text.split(", "))}
        self._resembled = tuple(word for word, meaning in self._words.items() if meaning != DEFECT)
        added = added or LabelParams()
        self._added = {word: NORMAL for word in _keys(added.normal)} | {word: UNLABELLED for word in _keys(added.unlabelled)}
        self._named = frozenset(_keys(added.defect))  # each names a kind of its own

    def read(self, word: str, *, where: str, folder: bool = False) -> Label:
        """Return what a word means; `where` names the place it stands in, `folder` says that it is a folder's name.

        Raises ZeromissError for a word that has no letter, or resembles a word for normal or unlabelled without being one.
        """
        key = fold(word)
        whole = _whole(key)
        if whole in self._named:
            return Label(DEFECT, kind_name(word))
        meaning = self._added.get(whole) or self._words.get(whole) or (None if folder else _NUMBERS.get(whole))
        if meaning is not None:
            return Label(meaning, UNNAMED if meaning == DEFECT else "")
        if reason := self._doubt(key):
            raise ZeromissError(
                f"{where}: the label {word!r} {reason}: add it to {self._key}.normal, {self._key}.defect or {self._key}.unlabelled in params.yaml, or rename it"
            )
        return Label(DEFECT, kind_name(word))

    def _doubt(self, key: str) -> str:
        """Return why a folded word that is not in the vocabulary cannot be taken for the name of a defect, '' if it can."""
        if not key:
            return "is empty"
        if not any(letter.isalpha() for letter in key):
            return "has no letter, so that nothing says what it means"
        if key in _ASKED:
            return "may mean a good part, a defect or no label"
        tokens = [token for part in key.split() if (token := part.strip("0123456789()[].,;:!?#+'\"")) and token not in _NOT_GOOD]
        alike = next((other for token in tokens for other in (self._alike(token),) if other), "")
        if alike or (alike := next((stem for stem in _IN_ALL if stem in "".join(tokens)), "")):
            return f"resembles {alike!r} and is not in the vocabulary"
        if _EAST.search(key):
            return "resembles a word for a good part or no label and is not in the vocabulary"
        if _NEGATIONS & set(tokens) and any(token in _FAULTS or self._words.get(token) == DEFECT for token in tokens) or tokens[-1:] == ["free"]:
            return "reads as if there were no defect, and is not in the vocabulary"
        return ""

    def _alike(self, token: str) -> str:
        """Return the word for normal or unlabelled that one word of a label is, or is a slip of; '' for none."""
        if self._words.get(token) in (NORMAL, UNLABELLED) or self._added.get(token):
            return token
        if token in self._words or len(token) < _SHORTEST:
            return ""
        likeness = {word: difflib.SequenceMatcher(None, token, word).ratio() for word in self._resembled if len(word) >= _SHORTEST}
        near = [word for word, ratio in likeness.items() if ratio >= _CLOSE or sorted(word) == sorted(token)]
        return min(near, key=lambda word: (-likeness[word], word), default="")


def fold(word: str) -> str:
    """Return a word without what does not tell words apart: capitals, accents, and how its parts are joined."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(letter))
    return " ".join(re.split(r"[\s_\-\u2010-\u2015./]+", plain.casefold())).strip()


def kind_name(word: str) -> str:
    """Return the canonical name of a kind of defect: in small letters, its parts joined by underscores."""
    return re.sub(r"[\s_\-\u2010-\u2015]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")


def _whole(key: str) -> str:
    """Return a folded word in one piece: `un sure` is `unsure`."""
    return key.replace(" ", "")


def _keys(words: Iterable[str]) -> list[str]:
    """Return words as they are compared."""
    return [_whole(fold(word)) for word in words]
