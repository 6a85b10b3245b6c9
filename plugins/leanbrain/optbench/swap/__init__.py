"""Another optimizer in any SpeechBrain recipe, without touching its code."""
