"""The SIP server as pure logic: what it decides, nothing it does to the operating system."""
