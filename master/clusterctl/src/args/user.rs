//! Commands about users.

use std::time::Duration;

use clap::{Args, Subcommand};
use proto::names::number_of;
use proto::v1;

/// Actions on users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Manage the tokens with which users call
    Token {
        /// Action to take
        #[command(subcommand)]
        command: UserTokenCommand,
    },
}

/// Actions on tokens of users.
#[derive(Debug, Subcommand)]
pub enum UserTokenCommand {
    /// Create a token and print it: it is shown only once
    Create(CreateUserTokenArgs),
    /// List the tokens, without their secrets
    List,
    /// Revoke a token
    Revoke {
        /// Public part of the token: between clu_ and the next underscore, as list shows it
        token_id: String,
    },
}

/// A new token of a user.
#[derive(Debug, Args)]
#[command(
    after_help = "Roles: viewer looks at everything; submitter also submits and cancels tasks; \
    operator also runs the fleet (workers, join tokens, settings, leader); admin also decides who the \
    members and the users are, and saves backups.\n\nExample:\n  clusterctl user token create ci --role \
    submitter --scope team=blue --ttl 90d > ci.token && chmod 600 ci.token"
)]
pub struct CreateUserTokenArgs {
    /// Name of the user
    pub name: String,
    /// Role of the user: viewer, submitter, operator or admin
    #[arg(long, value_parser = role, value_name = "ROLE")]
    pub role: v1::Role,
    /// Time for which the token is good [default: until it is revoked]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub ttl: Option<Duration>,
    /// Purpose of the token, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    pub description: String,
    /// Label that all tasks must have of which the user is to know [default: all tasks]
    #[arg(long, value_name = "KEY=VALUE")]
    pub scope: Option<String>,
}

fn role(text: &str) -> Result<v1::Role, &'static str> {
    let number = number_of::<v1::Role>(text).filter(|_| !text.is_empty());
    let role = number.and_then(|number| v1::Role::try_from(number).ok());
    role.ok_or("expected viewer, submitter, operator or admin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_by_its_name() {
        assert_eq!(role("operator"), Ok(v1::Role::Operator));
        assert!(role("").is_err() && role("root").is_err());
    }
}
