//! Faults that can be planted, one at a time, to prove that the simulation would find them.
//!
//! Without the feature `faults` nothing can be planted, and `fault!` is a constant `false` that leaves no trace. With it,
//! what is planted is planted for the whole process: only the simulation's own test does that. A few are of the store, which
//! asks here whether they are planted.

/// Whether this fault is planted.
macro_rules! fault {
    ($name:ident) => {
        crate::faults::is_planted(crate::faults::Fault::$name)
    };
}

macro_rules! faults {
    ($($name:ident: $doc:literal,)*) => {
        /// Something that the engine could do wrong.
        #[cfg_attr(not(feature = "faults"), allow(unreachable_pub, dead_code))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault {
            $(#[doc = $doc] $name,)*
        }

        #[cfg(feature = "faults")]
        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

faults! {
    AbsenceNotRecorded: "Since when a session has no connection is not recorded.",
    AckedBeforeKept: "PUBACK, PUBREC, PUBREL and PUBCOMP do not wait for the store.",
    AckedNotForwarded: "A QoS 1 message is acknowledged and never told to other shards.",
    AliasAboveMaximum: "One topic alias more is used than the client allows.",
    AliasKnownTooSoon: "A topic alias is used before it was sent.",
    AnswersTwice: "PUBACK and PUBREC are sent twice.",
    AuthOfAnotherMethod: "AUTH may name another method than CONNECT.",
    AuthOutOfTurn: "AUTH is taken whether it is due or not.",
    CauseForgotten: "A batch does not say which one of another shard asked for it.",
    CircleEnds: "Packet ids are not given out from 1 again.",
    CleanStartKeepsSession: "Clean Start does not discard the session.",
    ClockStandsStill: "Logical time does not take up that of other shards.",
    ConnectTimeoutForgotten: "A client that sends no CONNECT is waited for.",
    ContestForgotten: "Any number of takeovers may follow each other.",
    ContestNeverEnds: "A client id that is left alone is not given back.",
    CredentialsNeverExpire: "A connection outlasts its credentials.",
    DeadKeepsClientId: "A connection that gives no sign of life keeps its client id.",
    DeletionKeepsMessage: "An empty payload is retained instead of deleting.",
    DeliveredAboveGranted: "Delivered with the publisher's QoS, whatever was granted.",
    DeliveredBeforeKept: "A shard says that a message is kept there before it is.",
    DeliveryNotDeleted: "A delivery that is done with stays in the store.",
    DenialForgotten: "A subscription that is not allowed any more stays.",
    DenialUntold: "Who loses a subscription is not disconnected.",
    DeniedDelivered: "Messages are delivered whatever the permissions say.",
    EncoreMissesOne: "When a publisher goes on with a topic, one receiver gets only the first message.",
    EncoreLooksBack: "A publisher that goes on in a later turn has the head copied from where it stood before.",
    EncoreOutlivesGrant: "A publisher goes on as before though somebody's permissions have changed.",
    EncoreOutlivesInterest: "A publisher goes on as before though another shard has got interest, or lost it.",
    EncoreOutlivesSubscription: "A publisher goes on as before though somebody has subscribed or unsubscribed.",
    EndedUntold: "Who authenticates again is not told which subscriptions have ended.",
    ExpiredDelivered: "A message is delivered after its Message Expiry Interval.",
    ExpiredLetIn: "Credentials that have expired let a client in.",
    ExpiryNotReduced: "The time a message waited is not taken off its Message Expiry Interval.",
    FarewellForgotten: "A connection is ended without a word.",
    FullQueueUntold: "A message is dropped and the client that is here is not told.",
    FullStoreIgnored: "Messages are taken although the store has no room.",
    GroupGivesTwice: "A shared subscription delivers to two members.",
    GroupPrefersAbsent: "A shared subscription prefers members without a connection.",
    HandedOnAsItCame: "A member of a group is given a publisher's packet as it came, however it has to be written for it.",
    IdentifiersLost: "Of several matching subscriptions only one identifier is sent.",
    InterestNotTakenBack: "Other shards are not told when the last subscriber is gone.",
    JoinedApart: "What several shards keep of one message is staged before all of it is there.",
    JoinedInPieces: "What belongs together is staged in several units.",
    JoinedOvertaken: "A batch overtakes one of its own shard that waits for what belongs to it.",
    JoiningDropsNeeded: "What is gone before it is written is struck off in the wrong group.",
    KeepAliveTooLong: "A silent client is given twice the time.",
    KeepAliveTooShort: "A silent client is given one Keep Alive.",
    LatestForgotten: "A message that a newer one of its topic replaces is not counted as missed.",
    LinksForgotten: "A batch does not say which other shards keep a part of the same message.",
    LoadedNotAskedAgain: "Only once does a session ask for what is parked.",
    LowestQosWins: "Of several matching subscriptions the lowest QoS counts.",
    MaximumPacketSizeIgnored: "A PUBLISH is sent that is larger than the client takes.",
    MessageNotRecorded: "A delivery is recorded and its message is not.",
    MethodNotConcluded: "CONNACK does not name the authentication method.",
    MissedTwice: "A slow reader is told twice what it missed.",
    MissedUntold: "A slow reader is not told what it missed.",
    NoLocalIgnored: "No Local has no effect.",
    NothingSentAgain: "What was in flight is not sent again.",
    NumbersGivenTwice: "After a restart numbers are given out again.",
    OldestKept: "Of what waits for a slow reader nothing makes room, whatever its wish.",
    OursNotEnforced: "Our Receive Maximum is not enforced.",
    OwnerForgotten: "Anybody may take up anybody's session.",
    PacketIdNotRecorded: "The packet id that a message is sent with is not recorded.",
    PacketIdReused: "A packet id in flight is given out again.",
    ParkedOvertaken: "What is not parked does not wait for what is.",
    ParkedTooEarly: "A message is left to the store before it is kept.",
    PermissionForgotten: "Everybody may publish everywhere.",
    PubackSkipped: "Of acknowledgements that come together the first does nothing.",
    PublishedBeforeKept: "A QoS 2 message is sent before its packet id is kept.",
    PublishedTwice: "A QoS 2 message that comes again is published again.",
    QosZeroForAbsent: "QoS 0 messages wait for clients that are not here.",
    QueueForgetsRoom: "Room in the queue is not given back.",
    QueueKeepsDenied: "What waits is delivered though it is not allowed any more.",
    QueueOvertaken: "A message goes out before those that wait.",
    QueueUnbounded: "The queue takes everything.",
    QueuedNotRecorded: "A message that waits for a client is not recorded.",
    QuotaNotRestored: "An acknowledgement does not make room in the window.",
    RateIgnored: "A client that sends more than it may for too long stays.",
    ReceiveMaximumIgnored: "More is in flight than the client's Receive Maximum.",
    ReceivedForgotten: "QoS 2 ids received are forgotten when the connection ends.",
    ReceivedKept: "A QoS 2 id is remembered after PUBREL.",
    ReceivedNotDeleted: "A QoS 2 id stays in the store after PUBREL.",
    ReceivedNotRecorded: "A QoS 2 id received is not recorded.",
    ReleaseForgotten: "PUBREC is not remembered.",
    ReleaseNotRecorded: "PUBREC is not recorded.",
    RenewalByAnother: "Whoever is connected may authenticate again as somebody else.",
    RenewalKeepsExpiry: "Who authenticates again is ended when the first credentials expire.",
    RenewalKeepsPermissions: "Who authenticates again may do what it might before.",
    ReplayedThoughLive: "A retained message that was delivered live is replayed too.",
    ResentWithoutDup: "A PUBLISH that is sent again has no DUP flag.",
    RestoredForEver: "Sessions that are restored never end, and their wills are never sent.",
    RestoredUnsubscribed: "Sessions are restored without their subscriptions.",
    RetainFlagKept: "RETAIN is kept without Retain As Published.",
    RetainHandlingIgnored: "Every subscription is given retained messages.",
    RetainedNotDeleted: "A retained message that is deleted stays in the store.",
    RetainedNotForwarded: "Retained messages stay on the shard where nobody else has interest.",
    RetainedNotRecorded: "A retained message is recorded by nobody.",
    RunForwardedShort: "Of packets that come together another shard is not told of the last.",
    RunLosesLast: "Of packets that come together and go on with a topic the last is lost.",
    SegmentTornAway: "What a slow connection shares with others is not copied for it.",
    SessionEndsEarly: "A session lasts half as long.",
    SessionNeverEnds: "A session's expiry is forgotten.",
    SessionNotDeleted: "A session that ends stays in the store.",
    SessionPresentWrong: "CONNACK never says that a session is present.",
    ShadowForgotten: "What replaced a record that is written and is gone again is not deleted.",
    ShardsWaitInCircle: "What is said between shards waits for other shards.",
    ShutdownForgetsOne: "One connection is not ended when the server stops.",
    StampIgnored: "Of two retained messages the one that came last wins.",
    SubAckBeforeKept: "SUBACK does not wait for the store.",
    SubAckTooEarly: "SUBACK does not wait for the other shards.",
    SubscribePermissionForgotten: "Everybody may subscribe to everything.",
    SubscriptionNotDeleted: "A subscription that ends stays in the store.",
    SubscriptionNotRecorded: "A subscription is not recorded.",
    SubscriptionsLeftBehind: "A session that ends leaves its subscriptions.",
    TakeoverLeavesBoth: "A takeover does not end the earlier connection.",
    TrailOutlivesTurn: "What waited is looked for where it stood in the segment of an earlier turn.",
    UnsentNotCounted: "What waits for the store takes no room in the output.",
    UnsubscribeInName: "UNSUBACK is sent and the subscription stays.",
    WelcomedBeforeKept: "CONNACK does not wait for the store.",
    WillAfterDisconnect: "The will is sent after an orderly DISCONNECT.",
    WillAtOnce: "The Will Delay Interval is ignored.",
    WillKeptAtResume: "A will that waits is not forgotten when the session is resumed.",
    WillLost: "The will is never sent.",
    WillNotDeleted: "A will that was sent stays in the store.",
    WillNotRecorded: "A will is not recorded.",
    WillTwice: "The will is sent, and sent again when the session ends.",
    WishUnknown: "A wish for something that does not exist is taken for none.",
}

#[cfg(feature = "faults")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(u8::MAX);

/// Plants a fault in the whole process, or takes it out.
#[cfg(feature = "faults")]
pub fn plant(fault: Option<Fault>) {
    let number = fault.map_or(u8::MAX, |fault| fault as u8);
    PLANTED.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether this fault is planted.
#[cfg(feature = "faults")]
pub fn is_planted(fault: Fault) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == fault as u8
}

#[cfg(not(feature = "faults"))]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}
