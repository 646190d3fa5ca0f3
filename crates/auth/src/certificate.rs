//! A TLS client's certificate as its identity.
//!
//! TLS has proven it by then; which of its fields is the user name is the listener's to say. A client without a certificate,
//! or with one that names nobody, is left to others.

use crate::{Identity, Judging, Provider, Request, Verdict};
use weir_engine::Utf8;

/// Judges by client certificates.
#[derive(Clone, Copy, Debug)]
pub struct Certificate;

impl Provider for Certificate {
    fn name(&self) -> &str {
        "client certificate"
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a> {
        let certificate = request.presented.certificate.as_ref();
        let user = certificate.and_then(|certificate| certificate.username.as_deref());
        let user = user.and_then(|user| Utf8::try_from(user).ok());
        let verdict = match user.filter(|user| !user.is_empty()) {
            // Who asks for another proof is to give it.
            Some(user) if request.credentials.method.is_none() => {
                Verdict::Granted(Identity::of(user))
            }
            _ => Verdict::NoOpinion,
        };
        Box::pin(std::future::ready(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presented::{ClientCertificate, Presented};
    use weir_engine::Credentials;

    async fn judge(username: Option<&str>, has_certificate: bool) -> Option<String> {
        let presented = Presented {
            certificate: has_certificate.then(|| ClientCertificate {
                username: username.map(str::to_owned),
                common_name: None,
                alternative_names: Vec::new(),
            }),
            ..Presented::default()
        };
        let credentials = Credentials::default();
        let request = Request {
            credentials: &credentials,
            presented: &presented,
        };
        match Certificate.authenticate(&request).await {
            Verdict::Granted(identity) => identity.user.map(|user| user.as_str().to_owned()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn who_its_certificate_names_is_granted() {
        assert_eq!(judge(Some("ann"), true).await.as_deref(), Some("ann"));
        assert_eq!(judge(None, true).await, None);
        assert_eq!(judge(Some(""), true).await, None);
        assert_eq!(judge(None, false).await, None);
    }
}
