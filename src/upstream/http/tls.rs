//! Whom a client trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::client::{ClientError, ClientOptions};

/// Trusts the authorities of the CA file and no others; without one the platform's. A plain `http` server needs none,
/// so that a machine without certificates serves it all the same.
pub(super) fn tls_config(options: &ClientOptions) -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let roots = match &options.ca_file {
        _ if options.trust_anybody => {
            let nobody_is_refused = Arc::new(Unchecked(provider));
            return Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(nobody_is_refused)
                .with_no_client_auth());
        }
        Some(path) => read_ca_file(path)?,
        None if options.https => {
            return Ok(builder
                .with_native_roots()
                .map_err(ClientError::PlatformRoots)?
                .with_no_client_auth());
        }
        None => rustls::RootCertStore::empty(),
    };
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn read_ca_file(path: &Path) -> Result<rustls::RootCertStore, ClientError> {
    let refused = |reason: String| ClientError::CaFile { path: PathBuf::from(path), reason };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() { Err(refused("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate, because the operator said so. The handshake itself is still checked: who shows a certificate
/// must hold its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
