//! Configuration files: what resolves can be rendered, what does not is refused with places, and tokens stay secret.
#![no_main]

use std::sync::LazyLock;

use bootstrap::config::facts::Facts;
use bootstrap::config::file::{self, FileInput};
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use bootstrap::desired::Desired;
use bootstrap::error::chain_of;
use bootstrap::secret::Secret;
use bootstrap_fuzz::{assert_hidden, assert_refused, bounded, facts};
use libfuzzer_sys::{Corpus, fuzz_target};

static FACTS: LazyLock<Facts> = LazyLock::new(facts);

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let (written, _) = bounded(|| file::decode(text));
    let tokens = written.init.bootstrap_tokens.iter().filter_map(|token| token.token.as_ref());
    let secrets: Vec<_> =
        tokens.chain(&written.init.certificate_key).filter_map(|secret| hidden(secret, text)).collect();

    let input = FileInput { name: "kubeadm.yaml".to_owned(), text: text.to_owned() };
    let message = match bounded(|| resolve(&Flags::default(), Some(input), &FACTS)) {
        Err(problems) => {
            assert!(problems.iter().next().is_some(), "it is refused, and nobody says why");
            for problem in problems.iter() {
                let has_place = !problem.field.is_empty() || problem.origin.is_some();
                assert!(has_place, "a problem without a field or a line: {}", problem.message);
            }
            problems.to_string()
        }
        Ok(config) => match Desired::new(config, &FACTS, &[]) {
            Ok(desired) => format!("{desired:?}"),
            Err(error) => {
                assert_refused(&error);
                chain_of(&error)
            }
        },
    };
    secrets.iter().for_each(|secret| assert_hidden(secret, &message));
    Corpus::Keep
});

/// The half of a token that nobody may see, where it is long enough to be no word of a message by chance, and is
/// written in no other place, which may be shown.
fn hidden(secret: &Secret, text: &str) -> Option<String> {
    let half = secret.reveal().split_once('.').map_or(secret.reveal(), |(_, half)| half);
    (half.len() >= 12 && text.matches(half).count() == 1).then(|| half.to_owned())
}
