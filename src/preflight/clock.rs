//! Can the clock be right?
//!
//! Whether something keeps it right is not asked: one control plane needs no other's time, and few virtual machines
//! and containers know (adjtimex(2) says "unsynchronised" in most).

use jiff::Timestamp;

use super::Given;
use super::verdict::{Finding, Verdict};
use crate::desired::certificate::Certificate;
use crate::desired::pki::{Authority, Purpose};
use crate::plan::found::FoundFile;

pub(super) fn judge(given: &Given) -> Vec<Finding> {
    let now = given.machine.now;
    if let Some(reason) = behind(now, given.machine.source_date) {
        return vec![Finding::error(reason)];
    }
    let finding = match authority(given) {
        Some((begin, _)) if now < begin => Finding::warning(format!(
            "the clock says {}, and the authority that is here begins on {}: is it right?",
            day(now),
            day(begin)
        )),
        Some((_, end)) if now > end => Finding::warning(format!(
            "the clock says {}, and the authority that is here ended on {}: is it right?",
            day(now),
            day(end)
        )),
        _ => Finding::ok(format!("the clock says {}", day(now))),
    };
    vec![finding]
}

/// For whoever makes certificates without a whole preflight: the verdict on a clock that is certainly wrong.
pub fn clock(now: i64, source_date: i64) -> Option<Verdict> {
    behind(now, source_date).map(|reason| Finding::error(reason).of_check("Clock"))
}

fn behind(now: i64, source_date: i64) -> Option<String> {
    let reason = || {
        format!(
            "the clock says {}, which is before this program was written ({}): certificates would not be valid yet",
            day(now),
            day(source_date)
        )
    };
    (now < source_date).then(reason)
}

/// From when until when the cluster's own authority is valid, if there is one already.
fn authority(given: &Given) -> Option<(i64, i64)> {
    let is_clusters = |purpose| purpose == Purpose::Authority(Authority::Kubernetes);
    let file = given.desired.certificates.iter().find(|file| is_clusters(file.spec.purpose))?;
    let FoundFile::Content(pem) = given.found.file(&file.certificate_path(&given.desired.config)) else { return None };
    let certificate = Certificate::from_pem(pem).ok()?;
    Some((certificate.not_before.unix_timestamp(), certificate.not_after.unix_timestamp()))
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |moment| moment.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::{NOW, Scene, told};
    use crate::plan::found::FoundFile;

    const DAY: i64 = 86_400;

    fn authority() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        let moment = |seconds| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        (params.not_before, params.not_after) = (moment(NOW - 10 * DAY), moment(NOW + 10 * DAY));
        params.self_signed(&key).unwrap().pem().into_bytes()
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_told() {
        let mut scene = Scene::new("");
        let judged = |scene: &Scene| told(super::judge(&scene.given())).remove(0);
        assert_eq!(judged(&scene), "ok: the clock says 2027-01-15");
        scene.found.files.insert("/etc/kubernetes/pki/ca.crt".into(), FoundFile::Content(authority()));
        assert_eq!(judged(&scene), "ok: the clock says 2027-01-15");
        scene.machine.now = NOW + 11 * DAY;
        assert!(judged(&scene).starts_with("warning: the clock says 2027-01-26, and the authority that is here ended"));
        scene.machine.now = NOW - 11 * DAY;
        assert!(
            judged(&scene).starts_with("warning: the clock says 2027-01-04, and the authority that is here begins")
        );
        assert_eq!(super::clock(scene.machine.now, scene.machine.source_date), None);
        scene.machine.now = scene.machine.source_date - 1;
        let alone = super::clock(scene.machine.now, scene.machine.source_date).unwrap();
        assert_eq!((alone.check.as_str(), alone.severity), ("Clock", super::super::Severity::Error));
        assert!(
            judged(&scene).starts_with("error: the clock says 2026-10-31, which is before this program was written")
        );
    }
}
