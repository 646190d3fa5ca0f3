//! Between the engine, which asks who a client is, and the providers, which know.
//!
//! What is known at once is answered at once. Any other question is a task of its own on the shard's thread; it waits
//! without holding anything up. The answer goes back as an input, even if the client is gone by then: the engine knows.

use super::crowd::Excess;
use super::link::Link;
use super::worker::Worker;
use crate::config::{Config, Provider as Configured};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};
use tokio::task::spawn_local;
use weir_auth::{
    Admission, AuthError, Certificate, Chain, Judgement, Jwt, Password, Provider, Webhook,
};
use weir_engine::{ConnectionKey, Credentials, Grant, Input, Instant as Moment, Refusal};

/// The providers that are configured.
///
/// # Errors
/// The files that can't be read, or say something that can't be.
pub(super) fn chain(config: &Config) -> Result<Chain, Vec<AuthError>> {
    let auth = &config.auth;
    let (mut providers, mut errors) = (Vec::with_capacity(auth.providers.len()), Vec::new());
    for provider in &auth.providers {
        match open(provider, auth.hashes_at_once) {
            Ok(provider) => providers.push(provider),
            Err(error) => errors.push(error),
        }
    }
    let listeners = config.listeners.iter();
    let anonymous = listeners.map(|listener| config.lets_anonymous_in(listener));
    let mut chain = Chain::new(providers, anonymous.collect());
    if let Some(longest) = auth.login_delay {
        chain = chain.with_login_delay(longest);
    }
    let chain = match &auth.acl_file {
        Some(file) => chain.with_acl_file(file),
        None => Ok(chain),
    };
    match chain {
        Ok(chain) if errors.is_empty() => Ok(chain),
        chain => {
            errors.extend(chain.err());
            Err(errors)
        }
    }
}

fn open(provider: &Configured, hashes_at_once: usize) -> Result<Arc<dyn Provider>, AuthError> {
    Ok(match provider {
        Configured::PasswordFile(file) => Arc::new(Password::open(file, hashes_at_once)?),
        Configured::Jwt(settings) => Arc::new(Jwt::open((**settings).clone())?),
        Configured::Webhook(settings) => Arc::new(Webhook::new(settings.clone())?),
        Configured::Certificate => Arc::new(Certificate),
    })
}

/// Finds out who a client is.
pub(crate) fn judge(worker: &Rc<Worker>, connection: ConnectionKey, credentials: Box<Credentials>) {
    let link = worker.link(connection);
    if let (Some(link), false) = (&link, credentials.is_renewal) {
        link.judged_as(&credentials.client_id);
    }
    let presented = link.and_then(|link| link.take_presented());
    let shared = Arc::clone(&worker.shared);
    answer(worker, connection, async move {
        // Who authenticates again shows nothing but its AUTH.
        let presented = presented.unwrap_or_default();
        shared
            .providers
            .authenticate(&credentials, &presented)
            .await
    });
}

/// An admitted client is one of its user's connections, if they may have one more.
fn seat(
    worker: &Worker,
    link: Option<&Rc<Link>>,
    admission: Admission,
) -> Result<Admission, Refusal> {
    let users = &worker.shared.users;
    let (Some(link), Some(user), true) = (link, &admission.user, users.bounds().are_limited())
    else {
        return Ok(admission);
    };
    if link.has_seat() {
        return Ok(admission);
    }
    // Who takes over from itself is none more.
    let replaces = worker.is_connected(&admission.client_id);
    match users.enter(user.detached(), replaces, Instant::now()) {
        Ok(seat) => link.take_seat(seat, &worker.shared.config.limits),
        Err(Excess::TooMany) => return Err(Refusal::TooManyOfUser),
        Err(Excess::TooFast) => return Err(Refusal::UserTooFast),
    }
    Ok(admission)
}

/// Goes on with an enhanced authentication.
pub(crate) fn respond(worker: &Rc<Worker>, connection: ConnectionKey, data: Bytes) {
    let pending = worker.pending.borrow_mut().remove(&connection);
    let shared = Arc::clone(&worker.shared);
    answer(worker, connection, async move {
        match pending {
            Some(pending) => shared.providers.respond(pending, data).await,
            None => Judgement::Decided(Err(Refusal::AuthenticationUnavailable)),
        }
    });
}

/// Tells the shard what comes of a question, now if nobody has to be waited for.
fn answer(
    worker: &Rc<Worker>,
    connection: ConnectionKey,
    question: impl Future<Output = Judgement> + 'static,
) {
    let mut question = Box::pin(question);
    let mut unawaited = Context::from_waker(Waker::noop());
    if let Poll::Ready(judgement) = question.as_mut().poll(&mut unawaited) {
        return tell(worker, connection, judgement);
    }
    let worker = Rc::clone(worker);
    // Polled again there, it wakes its task.
    spawn_local(async move {
        let judgement = question.await;
        let link = worker.link(connection);
        tell(&worker, connection, judgement);
        // It was not read from meanwhile.
        if let Some(link) = link {
            link.wake();
        }
    });
}

fn tell(worker: &Rc<Worker>, connection: ConnectionKey, judgement: Judgement) {
    let now = worker.now();
    let link = worker.link(connection);
    let input = match judgement {
        Judgement::Decided(answer) => Input::Authenticated {
            connection,
            answer: answer
                .and_then(|admission| seat(worker, link.as_ref(), admission))
                .map(|admission| grant(now, admission)),
        },
        Judgement::Challenged(data, pending) => {
            if link.is_some() {
                worker.pending.borrow_mut().insert(connection, pending);
            }
            Input::Challenged { connection, data }
        }
    };
    worker.handle(now, input);
}

fn grant(now: Moment, admission: Admission) -> Grant {
    Grant {
        permissions: admission.permissions,
        user: admission.user,
        expires_at: admission
            .expires_at
            .map(|at| moment(now, SystemTime::now(), at)),
        data: admission.data,
    }
}

/// When a moment of the wall clock is for the engine.
fn moment(now: Moment, wall_now: SystemTime, at: SystemTime) -> Moment {
    let left = at.duration_since(wall_now).unwrap_or_default();
    now.plus_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_is_as_far_away_for_the_engine_as_on_the_wall() {
        let (now, wall) = (Moment::from_millis(500), SystemTime::now());
        let later = wall + Duration::from_millis(1500);
        assert_eq!(moment(now, wall, later), Moment::from_millis(2000));
        assert_eq!(moment(now, later, wall), now, "the past is now");
    }
}
