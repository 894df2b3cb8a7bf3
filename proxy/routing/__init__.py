"""The proxy core of RFC 3261 §16 and the policy's view of a request."""
