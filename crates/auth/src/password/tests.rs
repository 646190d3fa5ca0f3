//! The provider against real files, without a broker.

use super::*;
use crate::presented::Presented;
use crate::scratch::Scratch;
use weir_engine::Credentials;

const PBKDF2: &str = "$7$101$yrSdazRk9AXaTc+S$xZajRwynh7y56GkNJ05xvjoU8fzFR09a9AJ5nyjkAoU5B8FT3XnX6mYvTyAw7ImJCK4QL9TULxoYEmhsxaS8kA==";
const SHA: &str = "$6$OumHQDSJsyp0b4W4$D79LVQ6i64HK2/nfzQUHvgbjQoqgbyd4cwWTLXcPENsBzJxOjqITqkCX10rqUyA+olFkqKIat0DcGQ921a5A+A==";

fn provider(scratch: &Scratch) -> Password {
    let text = format!("ann:{PBKDF2}\nbob:{SHA}\neve:{PBKDF2}\n");
    Password::open(&scratch.file("passwords", &text), 2).unwrap()
}

fn login(user: &str, password: &str) -> Credentials {
    Credentials {
        username: Some(Utf8::try_from(user).unwrap()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..Credentials::default()
    }
}

async fn judge(provider: &Password, credentials: &Credentials) -> String {
    let presented = Presented::default();
    let request = Request {
        credentials,
        presented: &presented,
    };
    match provider.judge(&request).await {
        Verdict::Granted(identity) => format!("granted to {}", identity.user.unwrap().as_str()),
        Verdict::Refused(refusal) => format!("{refusal:?}"),
        Verdict::NoOpinion => "no opinion".into(),
        Verdict::Challenged(..) => "challenged".into(),
    }
}

#[tokio::test]
async fn who_knows_the_password_is_granted() {
    let scratch = Scratch::new();
    let provider = provider(&scratch);
    for (user, password, verdict) in [
        ("ann", "secret one", "granted to ann"),
        ("bob", "secret one", "granted to bob"),
        ("ann", "secret", "BadCredentials"),
        ("nobody", "secret one", "no opinion"),
    ] {
        assert_eq!(
            judge(&provider, &login(user, password)).await,
            verdict,
            "{user}"
        );
    }
    let without = Credentials {
        password: None,
        ..login("ann", "")
    };
    assert_eq!(judge(&provider, &without).await, "no opinion");
}

#[tokio::test]
async fn an_unknown_user_costs_as_many_hashes_as_a_wrong_password() {
    let scratch = Scratch::new();
    let provider = provider(&scratch);
    let computed = || provider.hashing.computed.load(Ordering::Relaxed);
    judge(&provider, &login("ann", "wrong")).await;
    let wrong_password = computed();
    judge(&provider, &login("nobody", "wrong")).await;
    assert_eq!(computed() - wrong_password, wrong_password);
    let stand_in = Arc::clone(provider.passwords.current().stand_in().unwrap());
    assert_eq!(
        stand_in.cost(),
        provider.passwords.current().find("ann").unwrap().cost()
    );
}

#[tokio::test]
async fn who_comes_when_too_many_wait_is_told_so() {
    let hashing = Arc::new(Hashing::new(1, 1));
    let stored = Arc::new(Stored::parse(PBKDF2).unwrap());
    let turn = hashing.at_once.acquire().await.unwrap();
    let mut first = Box::pin(hashing.check(Arc::clone(&stored), Bytes::from_static(b"secret one")));
    assert!(
        futures_now(first.as_mut()).is_none(),
        "it waits for its turn"
    );
    let second = hashing.check(Arc::clone(&stored), Bytes::new()).await;
    assert_eq!(second, Err(Busy));
    drop(turn);
    assert_eq!(first.await, Ok(true));
    assert_eq!(hashing.waiting.load(Ordering::Relaxed), 0);
    assert_eq!(hashing.check(stored, Bytes::new()).await, Ok(false));
}

#[tokio::test]
async fn a_user_that_is_deleted_is_admitted_no_more() {
    let scratch = Scratch::new();
    let provider = provider(&scratch);
    assert!(provider.still_admits("ann"));
    scratch.file("passwords", &format!("bob:{SHA}\n"));
    assert!(provider.reload(false).pop().unwrap().result.is_ok());
    assert!(!provider.still_admits("ann"));
    assert_eq!(
        judge(&provider, &login("ann", "secret one")).await,
        "no opinion"
    );
}

/// The outcome of a future that is ready now.
fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
