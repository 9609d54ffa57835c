"""A survey that runs: its settings, its participants, and what each of them does next."""

import hashlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .answers import LATE, Answer, AnswerFile
from .pictures import Pictures
from .plan import TINTED, Trial, plan_trials, source_pairs

PRACTICE = 0  # number of the practice trial


@dataclass(frozen=True)
class Settings:
    """What decides the trials. ``seconds``: for which pictures are shown, 0: until the answer."""

    truth: bool
    rank: bool
    seconds: float = 2.0
    trials: int = 40
    seed: int = 0

    @property
    def question(self) -> str:
        """What participants choose: the real picture, or the better one."""
        return "better" if self.rank else "real"


@dataclass(frozen=True)
class Reply:
    """What the page sends about one trial. Times in seconds, width in CSS pixels."""

    trial: int
    choice: str
    shown: float
    response: float
    width: int
    marks: Sequence[str]


@dataclass
class Participant:
    """Somebody who takes part; ``done`` counts answers, None before the practice."""

    id: str
    number: int
    trials: list[Trial]
    done: int | None = None

    @property
    def next(self) -> int:
        """The number of the next trial, one more than there are at the end."""
        return PRACTICE if self.done is None else self.done + 1


@dataclass
class Survey:
    """The participants of a survey and the file of their answers.

    Raises ValueError for settings that do not fit the pictures, and as `AnswerFile` does.
    """

    pictures: Pictures
    settings: Settings
    path: Path
    participants: dict[str, Participant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pairs = source_pairs(self.pictures.models, self.settings.truth, self.settings.rank)
        if not self.pairs:
            raise ValueError("a ranking compares two or more models: give another FOLDER, or --truth")
        # The practice needs a photo that is in no trial.
        self.trials = min(self.settings.trials, len(self.pictures.photos) - 1)
        if self.trials < 2:
            raise ValueError(f"{len(self.pictures.photos)} photos: a survey needs at least 3, better 20 or more")
        text = f"{self.pictures.digest} {self.settings}"
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.lock = threading.Lock()
        self.file = AnswerFile(self.path, self.digest)
        for answer in self.file.answers:
            participant = self._add(answer.participant, answer.number)
            participant.done = max(answer.trial, participant.done or 0)

    def _add(self, identity: str, number: int) -> Participant:
        if identity not in self.participants:
            trials = plan_trials(self.pictures.photos, self.pairs, self.trials, number, self.settings.seed)
            self.participants[identity] = Participant(identity, number, trials)
        return self.participants[identity]

    def join(self) -> Participant:
        """Return a new participant."""
        with self.lock:
            numbers = [participant.number for participant in self.participants.values()]
            return self._add(secrets.token_hex(8), max(numbers, default=-1) + 1)

    def jpeg(self, participant: Participant, trial: int, side: str) -> bytes | None:
        """Return a picture of the trial that is next; None for another one."""
        if trial != participant.next or trial > self.trials:
            return None
        shown = participant.trials[trial]
        return self.pictures.jpegs[shown.photo, shown.left if side == "left" else shown.right]

    def answer(self, participant: Participant, reply: Reply) -> bool:
        """Write down a reply and return True; of the practice, return whether the right picture was chosen.

        A reply that was given before changes nothing. Raises ValueError for one whose trial has not begun, and OSError
        where it cannot be written.
        """
        with self.lock:
            if reply.trial < participant.next:
                return True
            if reply.trial > min(participant.next, self.trials):
                raise ValueError(f"trial {reply.trial}: the next one is {participant.next}")
            trial = participant.trials[reply.trial]
            if reply.trial == PRACTICE:
                right = (trial.left if reply.choice == "left" else trial.right) != TINTED
                participant.done = 0 if right else None
                return right
            self.file.append(self._answer(participant, trial, reply))
            participant.done = reply.trial
            return True

    def _answer(self, participant: Participant, trial: Trial, reply: Reply) -> Answer:
        seconds = self.settings.seconds
        late = ["late"] if seconds and reply.shown > seconds + LATE else []
        values = {**asdict(trial), **asdict(reply), "marks": [*reply.marks, *late]}
        question = self.settings.question
        return Answer(self.digest, question, participant.id, participant.number, seconds=seconds, **values)
