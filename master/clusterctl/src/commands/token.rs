//! `token`: manages join tokens, which admit workers that no operator has registered.

use proto::v1;

use super::Context;
use crate::args::TokenCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, command: TokenCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        TokenCommand::Create { name, ttl, description } => {
            let request = v1::CreateTokenRequest {
                token_id: name.unwrap_or_default(),
                ttl: ttl.map(|ttl| humantime::format_duration(ttl).to_string()),
                description,
            };
            let created = client.create_token(request).await?;
            // Standard output is the token alone, for use in scripts.
            context.output.data(&created, |created, _| created.token.clone())?;
            context.output.message(format_args!("{}", advice(&created)));
            Ok(())
        }
        TokenCommand::List => {
            let tokens = client.tokens().await?;
            context.output.data(tokens.tokens.as_slice(), output::tokens)
        }
        TokenCommand::Revoke { name } => {
            client.revoke_token(&name).await?;
            context.output.message(format_args!("token {name} is revoked"));
            Ok(())
        }
    }
}

fn advice(created: &v1::CreatedToken) -> String {
    let until = match &created.expires_at {
        Some(at) => format!("until {at}"),
        None => "until it is revoked".to_owned(),
    };
    format!(
        "token {} admits workers {until}; it is not shown again. Save it in a file for them: worker \
         --masters HOST:PORT,... --join-token-file FILE",
        created.token_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_says_for_how_long_and_does_not_repeat_the_secret() {
        let created = v1::CreatedToken {
            token_id: "rack-7".to_owned(),
            token: "rack-7.secret".to_owned(),
            expires_at: None,
        };
        let text = advice(&created);
        assert!(text.starts_with("token rack-7 admits workers until it is revoked"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
