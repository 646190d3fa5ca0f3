//! What certificates say: when ours ends, and who a client is.
//!
//! rustls has verified a client's certificate before it is read here; nothing of it is trusted earlier.

use crate::config::CertificateField;
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;
use weir_auth::ClientCertificate;
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// When a certificate ends; `None` if it can't be understood.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(
        certificate
            .tbs_certificate()
            .validity()
            .not_after
            .to_system_time(),
    )
}

/// Who the holder of a verified certificate is.
pub(crate) fn identify(
    certificate: &CertificateDer<'_>,
    username: CertificateField,
) -> Option<ClientCertificate> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let common_name = common_name(&certificate);
    let alternative_names = alternative_names(&certificate);
    let username = match username {
        CertificateField::CommonName => common_name.clone(),
        CertificateField::AlternativeName => alternative_names.first().cloned(),
    };
    Some(ClientCertificate {
        username,
        common_name,
        alternative_names,
    })
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = certificate.tbs_certificate().subject();
    let mut attributes = subject.iter();
    let name = attributes.find(|attribute| attribute.oid == CN)?;
    let value = &name.value;
    let text = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str(),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str(),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str(),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str(),
        _ => return None,
    };
    Some(text.to_owned())
}

fn alternative_names(certificate: &Certificate) -> Vec<String> {
    let names = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>();
    let Ok(Some((_, names))) = names else {
        return Vec::new();
    };
    let text = |name: &GeneralName| match name {
        GeneralName::Rfc822Name(name)
        | GeneralName::DnsName(name)
        | GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        _ => None,
    };
    names.0.iter().filter_map(text).collect()
}
