"""Notes: sentences about what of a photo was left aside when it was read, or is not in an output."""

NO_ATTACHMENTS = "what is attached to the photo (video, further pictures, gain or depth map) was left out"
DAMAGED = "damaged or too large metadata was left out"


class Notes(list[str]):
    """Notes in the order in which they were added, each once."""

    def add(self, *notes: str) -> None:
        """Adds the notes that are not there already."""
        for note in notes:
            if note not in self:
                self.append(note)
