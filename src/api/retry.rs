//! The one policy of asking again.
//!
//! A question is asked again after a short pause until it is answered, until the answer is final, or until patience is
//! over. Whoever has no patience asks once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::ApiError;
use crate::error::{Exit, Fault, Result};

/// One answer; kubeadm's client waits as long [10.1].
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Between two tries: an API server that has just started is ready a moment later.
const PAUSE: Duration = Duration::from_millis(100);

/// For how long a question is asked again.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// It is asked once: a person waits.
    Once,
    /// Right after the start, namespaces and the bootstrap roles are still being made.
    For(Duration),
}

/// Asks until there is an answer, or until asking makes no sense any more.
///
/// # Errors
/// The last failure; when patience is over, below one that says so.
pub(super) async fn retry<T>(patience: Patience, mut ask: impl AsyncFnMut() -> Result<T, ApiError>) -> Result<T> {
    let begin = Instant::now();
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => error,
        };
        match patience {
            Patience::Once => return Err(error.into()),
            Patience::For(limit) if begin.elapsed() + PAUSE >= limit => {
                let message = format!("gave up after {:.0} s", begin.elapsed().as_secs_f64());
                return Err(Fault::new(Exit::TimedOut, message).because(error).into());
            }
            Patience::For(_) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn trouble() -> ApiError {
        ApiError::Forbidden { message: "not yet".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_passes_is_waited_out() {
        let mut asked = 0;
        let answer = retry(Patience::For(Duration::from_secs(60)), async || {
            asked += 1;
            if asked < 5 { Err(trouble()) } else { Ok(asked) }
        });
        assert_eq!(answer.await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_stays_ends_with_patience() {
        let begin = Instant::now();
        let answer: Result<()> = retry(Patience::For(Duration::from_secs(3)), async || Err(trouble())).await;
        let error = answer.unwrap_err();
        assert_eq!(crate::error::chain_of(&error), "gave up after 3 s: not yet");
        assert_eq!(crate::error::exit_of(&error), Exit::TimedOut);
        assert!(begin.elapsed() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_answer_and_a_single_question_end_at_once() {
        let begin = Instant::now();
        let wrong = async || Err(ApiError::Invalid { message: "wrong".to_owned() });
        let answer: Result<()> = retry(Patience::For(Duration::from_secs(60)), wrong).await;
        assert_eq!(crate::error::chain_of(&answer.unwrap_err()), "wrong");
        let answer: Result<()> = retry(Patience::Once, async || Err(trouble())).await;
        assert_eq!(crate::error::chain_of(&answer.unwrap_err()), "not yet");
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
