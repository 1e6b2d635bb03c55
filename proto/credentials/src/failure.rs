//! Reasons for which a connection was refused, in words.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// Returns the error of TLS among an error and its causes.
pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // An I/O error hides what it wraps from those who follow its sources.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Returns true if one side did not believe the other's certificate: calling again with the same
/// one changes nothing.
#[must_use]
pub fn is_certificate_refused(error: &(dyn StdError + 'static)) -> bool {
    match tls_error(error) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => true,
        Some(Error::AlertReceived(alert)) => told(*alert).is_some(),
        Some(_) | None => false,
    }
}

/// Says why TLS failed, if it did.
#[must_use]
pub fn sentence(error: &(dyn StdError + 'static)) -> Option<String> {
    let error = tls_error(error)?;
    if let Error::InvalidCertificate(fault) = error {
        return Some(format!("its certificate is not believed: {}", certificate(fault)));
    }
    if let Error::AlertReceived(alert) = error {
        let told = told(*alert).map(str::to_owned);
        return Some(told.unwrap_or_else(|| format!("it broke the handshake off ({alert:?})")));
    }
    if *error == Error::NoCertificatesPresented {
        return Some("it shows no certificate, and needs one".to_owned());
    }
    if matches!(error, Error::InvalidMessage(_)) {
        return Some("it does not speak TLS".to_owned());
    }
    Some(format!("TLS: {error}"))
}

/// Returns what a peer says of our certificate.
fn told(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    if alert == Alert::CertificateRequired {
        return Some("it wants a certificate, and we have shown none");
    }
    if alert == Alert::CertificateExpired {
        return Some(
            "it says that our certificate is not valid now: it has expired, or one of the two \
             clocks is wrong",
        );
    }
    if alert == Alert::UnknownCA {
        return Some("it does not know who issued our certificate: it trusts another authority");
    }
    let is_disbelief = matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError
    );
    is_disbelief.then_some("it does not believe our certificate: its log says why")
}

fn certificate(fault: &CertificateError) -> String {
    if let CertificateError::ExpiredContext { time, not_after } = fault {
        let (until, now) = (shown(*not_after), shown(*time));
        return format!("it was valid until {until}, and this machine's clock says {now}");
    }
    if let CertificateError::NotValidYetContext { time, not_before } = fault {
        let (from, now) = (shown(*not_before), shown(*time));
        return format!(
            "it is valid from {from} on, and this machine's clock says {now}: is one of the \
             clocks wrong?"
        );
    }
    // Two authorities may have the same name: then the signature is what differs.
    if matches!(fault, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        return "nobody whom we trust has issued it; is it of another cluster?".to_owned();
    }
    if let CertificateError::Other(other) = fault {
        return other.0.to_string();
    }
    fault.to_string()
}

fn shown(time: UnixTime) -> humantime::Rfc3339Timestamp {
    let since = Duration::from_secs(time.as_secs());
    format_rfc3339_seconds(
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH),
    )
}
