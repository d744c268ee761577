"""From bytes to the engine and back: sessions, parked fetches, group commit; and the sockets that carry it."""
