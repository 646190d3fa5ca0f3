//! Which shards have interest in which filter.
//!
//! A shard tells all others when its first subscription to a filter is made and when its last one is gone; of a shared
//! subscription it tells every change in the number of members. Each telling is answered, and a
//! SUBACK leaves when every shard has answered all that was told until then: a message that any shard accepts after that is
//! delivered.

use super::Shard;
use crate::filters::Filters;
use crate::id::{SessionKey, ShardId};
use crate::input::Effect;
use crate::promises::Debtor;
use crate::remote::{Members, Remote};
use crate::subscription::Subscription;
use alloc::vec::Vec;
use weir_codec::TopicFilter;

impl Shard {
    /// Enters a subscription of a session that is here; returns whether the session did not have it before.
    pub(super) fn subscribe(
        &mut self,
        key: SessionKey,
        filter: &TopicFilter,
        subscription: Subscription,
    ) -> bool {
        if !fault!(EncoreOutlivesSubscription) {
            self.roster.end_encores();
        }
        if self
            .subscriptions
            .insert(filter, key, subscription)
            .is_some()
        {
            // [MQTT-3.8.4-3]: the same filter again replaces the subscription.
            return false;
        }
        let Some(id) = self.subscriptions.id(filter) else {
            return false;
        };
        if filter.share_name().is_some() {
            self.count_member(filter, |members| members.online += 1);
        } else if self.subscriptions.subscribers_by_id(id).len() == 1 {
            self.tell_interest(
                filter,
                Members {
                    online: 1,
                    offline: 0,
                },
            );
        }
        if let Some(session) = self.roster.sessions.get_mut(key) {
            session.subscriptions.insert(filter, id);
        }
        true
    }

    /// [MQTT-3.10.4-1]: takes the subscription with exactly this filter out, which the session has given up.
    pub(super) fn unsubscribe(&mut self, key: SessionKey, filter: &TopicFilter, online: bool) {
        if self.subscriptions.remove(filter, key).is_none() {
            return;
        }
        if !fault!(EncoreOutlivesSubscription) {
            self.roster.end_encores();
        }
        if filter.share_name().is_some() {
            self.count_member(filter, |members| {
                let count = if online {
                    &mut members.online
                } else {
                    &mut members.offline
                };
                *count = count.saturating_sub(1);
            });
        } else if self.subscriptions.subscribers(filter).is_empty() && !fault!(InterestNotTakenBack)
        {
            self.tell_interest(filter, Members::default());
        }
    }

    /// Takes out all subscriptions of a session that has ended. Encores need not be told: they find nobody there.
    pub(super) fn unsubscribe_all(&mut self, key: SessionKey, filters: &mut Filters) {
        while let Some(id) = filters.pop_own() {
            let is_sole = self.subscriptions.subscribers_by_id(id).len() == 1;
            // Its text is only for others, who are told that nobody here wants it any more.
            let told = is_sole && self.shards > 1;
            let filter = told.then(|| self.subscriptions.filter(id)).flatten();
            self.subscriptions.remove_by_id(id, key);
            if let Some(filter) = filter
                && !fault!(InterestNotTakenBack)
            {
                self.tell_interest(&filter, Members::default());
            }
        }
        while let Some(filter) = filters.pop_shared() {
            self.unsubscribe(key, &filter, false);
        }
    }

    /// A session got a connection: its shared subscriptions take part again.
    pub(super) fn came_online(&mut self, key: SessionKey) {
        self.count_presence(key, |members| {
            members.online += 1;
            members.offline = members.offline.saturating_sub(1);
        });
    }

    /// A session lost its connection: others of its shared subscriptions are preferred.
    pub(super) fn went_offline(&mut self, key: SessionKey) {
        self.count_presence(key, |members| {
            members.offline += 1;
            members.online = members.online.saturating_sub(1);
        });
    }

    pub(super) fn interest_told(&mut self, from: ShardId, filter: &TopicFilter, members: Members) {
        self.enter_interest(from, filter, members);
        let remote = Remote::InterestSeen;
        self.effects.push_back(Effect::Forward { to: from, remote });
    }

    fn count_presence(&mut self, key: SessionKey, change: impl Fn(&mut Members)) {
        let Some(session) = self.roster.sessions.get(key) else {
            return;
        };
        let shared: Vec<_> = session.subscriptions.shared().cloned().collect();
        for filter in shared {
            self.count_member(&filter, &change);
        }
    }

    fn count_member(&mut self, filter: &TopicFilter, change: impl FnOnce(&mut Members)) {
        let mut members = self.groups.get(filter).copied().unwrap_or_default();
        change(&mut members);
        if members.is_none() {
            self.groups.remove(filter);
        } else {
            self.groups.insert(filter.clone(), members);
        }
        self.enter_interest(self.id, filter, members);
        self.tell_interest(filter, members);
    }

    fn enter_interest(&mut self, of: ShardId, filter: &TopicFilter, members: Members) {
        if !fault!(EncoreOutlivesInterest) {
            self.roster.end_encores();
        }
        if members.is_none() {
            self.interest.remove(filter, of);
        } else {
            self.interest.insert(filter, of, members);
        }
    }

    fn tell_interest(&mut self, filter: &TopicFilter, members: Members) {
        for to in (0..self.shards)
            .map(ShardId)
            .filter(|shard| *shard != self.id)
        {
            let remote = Remote::Interest {
                filter: filter.clone(),
                members,
            };
            self.promises.ask(Debtor::Interest(to));
            self.effects.push_back(Effect::Forward { to, remote });
        }
    }
}
