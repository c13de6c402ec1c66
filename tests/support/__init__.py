"""What tests share: small images, tiny networks, commands in this process or another, and runs on disk."""
