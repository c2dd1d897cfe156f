//! Names in certificates as they are, byte by byte.
//!
//! rcgen knows one value of each attribute. An authority may have several organizational units or domain components,
//! and a user several organizations: so a certificate is made by rcgen, its names are put in the place of rcgen's,
//! and what is signed is the result.

use rcgen::{Error, KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Result, DERWriter};

const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
/// Places in a TBSCertificate (RFC 5280, 4.1): version, serial number, signature, issuer, validity, subject, …
const ISSUER: usize = 3;
const SUBJECT: usize = 5;

/// A name in DER: the organizations together in one set, as Go writes them, then the common name.
pub(super) fn encode(organizations: &[String], common_name: &str) -> Vec<u8> {
    let attribute = |writer: DERWriter<'_>, oid: &[u64], value: &str| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
            writer.next().write_utf8_string(value);
        });
    };
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            if !organizations.is_empty() {
                writer.next().write_set_of(|writer| {
                    organizations.iter().for_each(|name| attribute(writer.next(), &ORGANIZATION, name));
                });
            }
            writer.next().write_set_of(|writer| attribute(writer.next(), &COMMON_NAME, common_name));
        });
    })
}

/// The authority's key, which signs a certificate with these names whatever names are in what it is given.
pub(super) struct Naming<'a> {
    pub(super) key: &'a KeyPair,
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
}

impl Naming<'_> {
    fn renamed(&self, certificate: &[u8]) -> ASN1Result<Vec<u8>> {
        let mut fields = fields(certificate)?;
        for (place, name) in [(ISSUER, self.issuer), (SUBJECT, self.subject)] {
            if let Some(field) = fields.get_mut(place) {
                *field = name.to_vec();
            }
        }
        Ok(sequence(&fields))
    }

    /// The certificate that rcgen made with this key, as it was signed.
    pub(super) fn finished(&self, certificate: &[u8]) -> ASN1Result<Vec<u8>> {
        let mut parts = fields(certificate)?;
        if let Some(first) = parts.first_mut() {
            *first = self.renamed(first)?;
        }
        Ok(sequence(&parts))
    }
}

impl PublicKeyData for Naming<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl SigningKey for Naming<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.sign(&self.renamed(message).map_err(|_| Error::CouldNotParseCertificate)?)
    }
}

/// The elements of a sequence, each in DER.
fn fields(der: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    yasna::parse_der(der, |reader| {
        let mut fields = Vec::new();
        reader.read_sequence_of(|reader| {
            fields.push(reader.read_der()?);
            Ok(())
        })?;
        Ok(fields)
    })
}

fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| fields.iter().for_each(|field| writer.next().write_der(field)));
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::X509Name;

    use super::*;

    #[test]
    fn a_name_holds_every_organization() {
        let der = encode(&["b".to_owned(), "a".to_owned()], "ünë");
        let (rest, name) = X509Name::from_der(&der).unwrap();
        assert!(rest.is_empty());
        let organizations: Vec<_> = name.iter_organization().map(|value| value.as_str().unwrap()).collect();
        // the elements of a set are sorted in DER
        assert_eq!(organizations, ["a", "b"]);
        assert_eq!(name.iter_rdn().count(), 2);
        assert_eq!(name.iter_common_name().next().unwrap().as_str().unwrap(), "ünë");
    }
}
