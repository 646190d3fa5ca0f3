//! The keys of a `[[listener]]` that are about TLS: which files it needs and what it asks of clients.
//!
//! Files are named here and read by the runtime, which also watches them. A key that has no effect is refused, since
//! whoever wrote it believes in something that isn't so: a client certificate that nobody asks for, say.

use std::path::PathBuf;

use super::error::Fault;
use super::section::Section;

const EXAMPLE_CHAIN: &str = "/etc/letsencrypt/live/mqtt.example.org/fullchain.pem";
const EXAMPLE_KEY: &str = "/etc/letsencrypt/live/mqtt.example.org/privkey.pem";
const EXAMPLE_CA: &str = "/etc/weir/clients-ca.pem";

/// What a listener with TLS is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// The certificate with its chain, in PEM.
    pub(crate) certificate_file: PathBuf,
    /// Its private key, in PEM.
    pub(crate) key_file: PathBuf,
    /// What is asked of clients; `None` for nothing.
    pub(crate) clients: Option<ClientCertificates>,
}

/// What is asked of a TLS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificates {
    /// Whether a client without a certificate is refused.
    pub(crate) required: bool,
    /// The authorities that sign clients' certificates, in PEM.
    pub(crate) ca_file: PathBuf,
    /// The lists of revoked certificates, in PEM.
    pub(crate) crl_file: Option<PathBuf>,
    /// The field that holds the user name.
    pub(crate) username: CertificateField,
}

/// A field of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateField {
    /// The Common Name of the subject.
    CommonName,
    /// The first alternative name of the subject.
    AlternativeName,
}

/// Whether a client's certificate is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    None,
    Optional,
    Required,
}

impl Certificates {
    /// Reads the keys; `protocol` is the listener's, and `None` comes out where it has no TLS.
    pub(super) fn resolve(
        section: &Section<'_, '_>,
        protocol: &'static str,
        has_tls: bool,
    ) -> Option<Self> {
        let certificate_file = file(section, "certificate_file");
        let key_file = file(section, "key_file");
        let clients = clients(section);
        if !has_tls {
            let useless = [
                ("certificate_file", certificate_file.is_some()),
                ("key_file", key_file.is_some()),
                ("client_certificate", clients.is_some()),
            ];
            for (key, _) in useless.iter().filter(|(_, is_written)| *is_written) {
                section.note(key, Fault::NeedsTls { protocol });
            }
            return None;
        }
        Some(Self {
            certificate_file: needed(section, "certificate_file", certificate_file, EXAMPLE_CHAIN),
            key_file: needed(section, "key_file", key_file, EXAMPLE_KEY),
            clients,
        })
    }

    /// All files that are read for it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let clients = self.clients.iter();
        let of_clients =
            clients.flat_map(|clients| [Some(&clients.ca_file), clients.crl_file.as_ref()]);
        [&self.certificate_file, &self.key_file]
            .into_iter()
            .chain(of_clients.flatten())
    }
}

fn clients(section: &Section<'_, '_>) -> Option<ClientCertificates> {
    let words = [
        ("none", Demand::None),
        ("optional", Demand::Optional),
        ("required", Demand::Required),
    ];
    let demand = section.word("client_certificate", Demand::None, &words);
    let ca_file = file(section, "client_ca_file");
    let crl_file = file(section, "client_crl_file");
    let fields = [
        ("common-name", CertificateField::CommonName),
        ("alternative-name", CertificateField::AlternativeName),
    ];
    let username = section.word("client_username", CertificateField::CommonName, &fields);
    if demand == Demand::None {
        for (key, file) in [("client_ca_file", ca_file), ("client_crl_file", crl_file)] {
            if file.is_some() {
                section.note(key, Fault::NobodyAsked);
            }
        }
        return None;
    }
    Some(ClientCertificates {
        required: demand == Demand::Required,
        ca_file: needed(section, "client_ca_file", ca_file, EXAMPLE_CA),
        crl_file,
        username,
    })
}

fn file(section: &Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    section.file(key, "the path of a file in PEM, in quotes")
}

fn needed(
    section: &Section<'_, '_>,
    key: &'static str,
    file: Option<PathBuf>,
    example: &'static str,
) -> PathBuf {
    file.unwrap_or_else(|| {
        section.note(key, Fault::FileNeeded { example });
        PathBuf::new()
    })
}
