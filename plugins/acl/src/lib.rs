//! acl: lets a request pass by the groups of its consumer.

use sandgate_sdk::{auth, prelude::*};

const GROUPS: &str = "acls";
/// Note of an earlier plugin: groups that it found out without a consumer, separated by `, `.
const AUTHENTICATED_GROUPS: &str = "authenticated-groups";
const CONSUMER_HEADER: &str = "X-Consumer-Groups";
const AUTHENTICATED_HEADER: &str = "X-Authenticated-Groups";

/// What operators configure.
#[derive(Debug, Config)]
#[config(checks = r#"[{"only_one_of":["allow","deny"]},{"at_least_one_of":["allow","deny"]}]"#)]
pub struct Settings {
    /// Groups that may use the service.
    allow: Option<Vec<String>>,
    /// Groups that may not.
    deny: Option<Vec<String>>,
    /// Whether the upstream is not told the groups.
    #[config(default = false, required)]
    hide_groups_header: bool,
    /// Whether groups that an authentication plugin found go before those of the consumer.
    #[config(default = false, required)]
    always_use_authenticated_groups: bool,
}

/// A group that a consumer is in.
#[derive(Debug, Config)]
#[collection(name = "acls", path = "acls", nested_path = "acls", parent = "consumers")]
pub struct Membership {
    /// Name of the group.
    #[config(required, unique_in_parent)]
    group: String,
}

/// One configuration.
#[derive(Debug)]
pub struct Acl(Settings);

#[plugin(
    name = "acl",
    priority = 950,
    consumer_scope = false,
    capabilities(consumers("acls")),
    collections(Membership)
)]
impl Plugin for Acl {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        if let Some(groups) = self.authenticated_groups(host) {
            return self.decide(groups, AUTHENTICATED_HEADER, request);
        }
        if host.consumer().is_none() {
            return Self::refuse(host);
        }
        match host.owned(GROUPS, "group") {
            Ok(groups) if groups.is_empty() && self.0.allow.is_some() => Self::refuse(host),
            Ok(groups) => self.decide(groups, CONSUMER_HEADER, request),
            Err(_) => auth::unexpected(),
        }
    }
}

impl Acl {
    /// Groups without a consumer's doing: asked for when there is no credential, or always when so configured.
    fn authenticated_groups(&self, host: &impl Host) -> Option<Vec<String>> {
        if !self.0.always_use_authenticated_groups && host.credential_id().is_some() {
            return None;
        }
        let note = host.note(AUTHENTICATED_GROUPS)?;
        Some(note.split(", ").map(String::from).collect())
    }

    fn decide(&self, groups: Vec<String>, header: &str, request: &mut Request) -> Flow {
        let any = |list: &Option<Vec<String>>| list.iter().flatten().any(|name| groups.contains(name));
        if any(&self.0.deny) || self.0.allow.is_some() && !any(&self.0.allow) {
            return refuse(403, "You cannot consume this service");
        }
        // What the client claims about its groups never reaches the upstream.
        for name in [CONSUMER_HEADER, AUTHENTICATED_HEADER] {
            if name != header || self.0.hide_groups_header || groups.is_empty() {
                request.remove_header(name);
            } else {
                request.set_header(name, &groups.join(", "));
            }
        }
        Flow::Next
    }

    /// Someone known is forbidden, someone unknown has to say who they are.
    fn refuse(host: &impl Host) -> Flow {
        match host.credential_id() {
            Some(_) => refuse(403, "You cannot consume this service"),
            None => refuse(401, "Unauthorized"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sandgate_sdk::{mock::MockHost, testing::Tester};

    use super::*;

    const ALLOW: &str = r#"{"allow":["gold"]}"#;
    const DENY: &str = r#"{"deny":["gold"]}"#;

    fn member(group: &str) -> MockHost {
        let data = ["{\"group\":\"", group, "\"}"].concat();
        MockHost::get("/").entity(GROUPS, "1", "alice", &data).authenticated("alice", "key-id")
    }

    #[test]
    fn who_may_pass_follows_from_groups_and_credentials() {
        let nobody = || MockHost::get("/");
        let credential = || MockHost::get("/").credential_only("key-id");
        let groupless = || MockHost::get("/").authenticated("alice", "key-id");
        let anonymous = || MockHost::get("/").anonymous("alice");
        let forbidden = Some((403, "You cannot consume this service"));
        let unauthorized = Some((401, "Unauthorized"));
        let cases = [
            ("nobody, allow", ALLOW, nobody(), unauthorized),
            ("nobody, deny", DENY, nobody(), unauthorized),
            ("a credential without consumer", ALLOW, credential(), forbidden),
            ("no groups, deny", DENY, groupless(), None),
            ("no groups, allow", ALLOW, groupless(), forbidden),
            ("anonymous without groups, allow", ALLOW, anonymous(), unauthorized),
            ("anonymous without groups, deny", DENY, anonymous(), None),
            ("in allow", ALLOW, member("gold"), None),
            ("not in allow", ALLOW, member("silver"), forbidden),
            ("in another case", ALLOW, member("Gold"), forbidden),
            ("in deny", DENY, member("gold"), forbidden),
            ("not in deny", DENY, member("silver"), None),
        ];
        for (label, config, host, expected) in cases {
            assert_eq!(Tester::<Acl>::new(config).on_request(&host).refusal(), expected, "{label}");
        }
    }

    #[test]
    fn the_upstream_is_told_the_groups_and_nothing_else() {
        let host = member("gold").header("X-Authenticated-Groups", "root").header("X-Consumer-Groups", "root");
        let outcome = Tester::<Acl>::new(ALLOW).on_request(&host);
        assert_eq!(outcome.upstream_header("X-Consumer-Groups"), Some("gold"));
        assert_eq!(outcome.upstream_header("X-Authenticated-Groups"), None);

        let hidden = Tester::<Acl>::new(r#"{"allow":["gold"],"hide_groups_header":true}"#).on_request(&host);
        assert_eq!(hidden.upstream_header("X-Consumer-Groups"), None);
    }

    #[test]
    fn groups_of_an_earlier_plugin_stand_in_for_a_consumers() {
        let noted = |host: MockHost| {
            host.set_note(AUTHENTICATED_GROUPS, "gold, blue").expect("a note is taken");
            host
        };
        let outcome = Tester::<Acl>::new(ALLOW).on_request(&noted(MockHost::get("/")));
        assert_eq!(outcome.upstream_header("X-Authenticated-Groups"), Some("gold, blue"));

        let silver = noted(member("silver"));
        assert_eq!(Tester::<Acl>::new(ALLOW).on_request(&silver).status(), Some(403));
        let always = r#"{"allow":["gold"],"always_use_authenticated_groups":true}"#;
        assert_eq!(Tester::<Acl>::new(always).on_request(&silver).status(), None);
    }
}
