"""The SIP core: bytes in, offsets and values out, bytes again."""
