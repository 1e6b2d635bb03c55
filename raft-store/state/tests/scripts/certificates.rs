//! Reads commands about certificates and tokens of users.

use cluster_state::{
    AdoptIssuer, AuthorityRecord, BeginRotation, Command, CreateUserToken, ForgetWorker, Grounds,
    HolderId, IssueCertificate, LogIndex, RevokeCertificates, RootRecord, RotateAuthority,
    RotationStep, ShownCertificate, Timestamp,
};

use super::Arguments;
use super::words::{duration, parsed, timestamp};

impl Arguments<'_> {
    /// Reads one of them: issuers, serial numbers and keys are small numbers.
    pub(super) fn certificates(&mut self, verb: &str) -> Command {
        match verb {
            "adopt" => {
                let name = self.next();
                Command::AdoptIssuer(AdoptIssuer {
                    roots: String::new(),
                    certificate: name.to_owned(),
                    digest: [parsed(name); 32],
                    not_after: Timestamp(1_000_000),
                })
            }
            "rotate" => Command::RotateAuthority(RotateAuthority { step: self.rotation_step() }),
            "issue" => {
                let holder: HolderId = parsed(self.next());
                let token = self.named.remove("token").map(parsed);
                let secret = self.number("secret", 7);
                let grounds = token.map_or_else(
                    || {
                        Grounds::Certificate(ShownCertificate {
                            holder: holder.clone(),
                            serial: vec![self.number("shown", 0); 16],
                            not_before: self
                                .named
                                .remove("from")
                                .map(timestamp)
                                .unwrap_or_default(),
                        })
                    },
                    |token| Grounds::JoinToken { token, digest: [secret; 32] },
                );
                Command::IssueCertificate(IssueCertificate {
                    holder,
                    issuer: [self.number("issuer", 1); 32],
                    serial: [self.number("serial", 1); 16],
                    key: [self.number("key", 1); 32],
                    not_after: self.named.remove("until").map(timestamp).unwrap(),
                    grounds,
                })
            }
            "revoke-certificates" => {
                Command::RevokeCertificates(RevokeCertificates { holder: parsed(self.next()) })
            }
            _ => Command::ForgetWorker(ForgetWorker {
                worker: parsed(self.next()),
                force: self.named.remove("force").is_some_and(|word| word == "yes"),
            }),
        }
    }

    /// Reads a step; authorities and their roots have small numbers as names.
    fn rotation_step(&mut self) -> RotationStep {
        let authority = |name: &str, roots: &str| AuthorityRecord {
            root: RootRecord { digest: [parsed(name); 32], not_after: Timestamp(500_000) },
            certificate: name.to_owned(),
            digest: [parsed(name); 32],
            not_after: Timestamp(1_000_000),
            roots: roots.to_owned(),
            endorsement: String::new(),
        };
        let step = self.next();
        let rotation = LogIndex(self.number("rotation", 0));
        match step {
            "begin" => {
                let (from, to) = (self.next(), self.next());
                // An adopted issuer names no roots; the one that a rotation leaves does.
                let before = self.named.remove("trusted").unwrap_or_default();
                RotationStep::Begin(Box::new(BeginRotation {
                    roots: format!("{from}+{to}"),
                    from: authority(from, before),
                    to: authority(to, to),
                }))
            }
            "issue" => RotationStep::Issue { rotation },
            "finish" => RotationStep::Finish { rotation },
            "abort" => RotationStep::Abort { rotation },
            other => panic!("no such step: {other}"),
        }
    }

    /// Reads a token of a user.
    pub(super) fn user_token(&mut self) -> CreateUserToken {
        CreateUserToken {
            token: parsed(self.next()),
            user: parsed("ada"),
            role: self.named.remove("role").map(parsed).unwrap_or_default(),
            scope: None,
            digest: [7; 32],
            ttl: self.named.remove("ttl").map(duration),
            description: String::new(),
            by: "anonymous".to_owned(),
        }
    }
}
