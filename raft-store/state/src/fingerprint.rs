//! Digests by which certificates and keys are told apart.

/// SHA-256 of a certificate or of a public key.
pub type Fingerprint = [u8; 32];
