//! `user token`: manages the tokens with which users call.

use proto::v1;

use super::Context;
use crate::args::{CreateUserTokenArgs, UserCommand, UserTokenCommand};
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, command: UserCommand) -> Result<(), Failure> {
    let UserCommand::Token { command } = command;
    let client = context.client()?;
    match command {
        UserTokenCommand::Create(args) => {
            let CreateUserTokenArgs { name, role, ttl, description, scope } = args;
            let request = v1::CreateUserTokenRequest {
                user: name.clone(),
                role: role.into(),
                scope,
                ttl: ttl.map(|ttl| humantime::format_duration(ttl).to_string()),
                description,
                token_id: String::new(),
            };
            let created = client.create_user_token(request).await?;
            // Standard output is the token alone, for a file.
            context.output.data(&created, |created, _| created.token.clone())?;
            context.output.message(format_args!("{}", advice(&created, &name)));
            Ok(())
        }
        UserTokenCommand::List => {
            let tokens = client.user_tokens().await?;
            context.output.data(tokens.tokens.as_slice(), output::user_tokens)
        }
        UserTokenCommand::Revoke { token_id } => {
            client.revoke_user_token(&token_id).await?;
            context.output.message(format_args!("token {token_id} is revoked"));
            Ok(())
        }
    }
}

fn advice(created: &v1::CreatedUserToken, name: &str) -> String {
    let until = match &created.expires_at {
        Some(at) => format!("until {at}"),
        None => "until it is revoked".to_owned(),
    };
    format!(
        "token {} is good for {name} {until}; it is not shown again. Keep it in a file that its owner \
         alone may read, for clusterctl --token-file FILE",
        created.token_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_does_not_repeat_the_secret() {
        let created = v1::CreatedUserToken {
            token_id: "abc".to_owned(),
            token: "clu_abc_secret".to_owned(),
            expires_at: None,
        };
        let text = advice(&created, "ada");
        assert!(text.starts_with("token abc is good for ada until it is revoked"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
