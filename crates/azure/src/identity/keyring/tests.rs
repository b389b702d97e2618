//! The keyring in virtual time, with a provider whose answers the test chooses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(5),
    answer_bytes_max: 1 << 20,
    refresh: Duration::from_secs(3600),
    retry: Duration::from_secs(30),
};

/// The results of a provider's fetches, and their duration.
#[derive(Clone, Debug, Default)]
struct Provider(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    keys: Mutex<Option<&'static str>>,
    fetches: AtomicUsize,
}

impl Fetch for Provider {
    async fn fetch(&mut self) -> Option<KeySet> {
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let kid = (*self.0.keys.lock().expect("nobody panicked"))?;
        let modulus = "w".repeat(342);
        let set =
            format!(r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"{modulus}","e":"AQAB"}}]}}"#);
        Some(KeySet::parse(set.as_bytes()).expect("a JWK set"))
    }
}

impl Provider {
    fn publish(&self, kid: Option<&'static str>) {
        *self.0.keys.lock().expect("nobody panicked") = kid;
    }

    fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::Relaxed)
    }
}

/// A token that names a key; its signature does not matter here.
fn naming(kid: &str) -> Head {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#));
    Head::read(&format!("{head}.{}.AAAA", URL_SAFE_NO_PAD.encode("{}"))).expect("a token")
}

/// A keyring whose task runs; dropping the sender ends it.
fn start(provider: &Provider) -> (Arc<Keyring>, watch::Sender<bool>) {
    let (keyring, task) = new(provider.clone(), &LIMITS);
    let (stopping, stop) = watch::channel(false);
    tokio::task::spawn_local(task.run(stop));
    (Arc::new(keyring), stopping)
}

async fn refusal(keyring: &Keyring, kid: &str) -> Option<TokenRefused> {
    keyring.with_key_of(&naming(kid)).await.err()
}

fn in_virtual_time(check: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, check);
}

#[test]
fn the_first_token_waits_for_the_first_fetch() {
    in_virtual_time(async {
        let provider = Provider::default();
        provider.publish(Some("k1"));
        let (keyring, _stopping) = start(&provider);
        assert_eq!(refusal(&keyring, "k1").await, None);
        assert_eq!(provider.fetches(), 1);
    });
}

#[test]
fn strangers_key_names_cause_one_fetch_per_interval() {
    in_virtual_time(async {
        let provider = Provider::default();
        provider.publish(Some("k1"));
        let (keyring, _stopping) = start(&provider);
        assert_eq!(refusal(&keyring, "k1").await, None);
        for round in 1..=3 {
            tokio::time::sleep(LIMITS.retry).await;
            let asking: Vec<_> = (0..100)
                .map(|number| {
                    let keyring = Arc::clone(&keyring);
                    tokio::task::spawn_local(async move {
                        refusal(&keyring, &format!("stranger-{number}")).await
                    })
                })
                .collect();
            for asked in asking {
                assert_eq!(asked.await.expect("it ends"), Some(TokenRefused::KeyUnknown));
            }
            assert_eq!(refusal(&keyring, "late-stranger").await, Some(TokenRefused::KeyUnknown));
            assert_eq!(refusal(&keyring, "k1").await, None);
            assert_eq!(provider.fetches(), 1 + round);
        }
    });
}

#[test]
fn a_new_key_is_found_and_the_old_one_goes() {
    in_virtual_time(async {
        let provider = Provider::default();
        provider.publish(Some("k1"));
        let (keyring, _stopping) = start(&provider);
        assert_eq!(refusal(&keyring, "k1").await, None);
        provider.publish(Some("k2"));
        assert_eq!(refusal(&keyring, "k2").await, Some(TokenRefused::KeyUnknown));
        tokio::time::sleep(LIMITS.retry).await;
        assert_eq!(refusal(&keyring, "k2").await, None);
        assert_eq!(refusal(&keyring, "k1").await, Some(TokenRefused::KeyUnknown));
        provider.publish(Some("k3"));
        tokio::time::sleep(LIMITS.refresh + Duration::from_secs(2)).await;
        assert_eq!(provider.fetches(), 3);
        assert_eq!(refusal(&keyring, "k3").await, None);
    });
}

#[test]
fn the_last_good_keys_stay_while_the_provider_is_down() {
    in_virtual_time(async {
        let provider = Provider::default();
        provider.publish(Some("k1"));
        let (keyring, _stopping) = start(&provider);
        assert_eq!(refusal(&keyring, "k1").await, None);
        provider.publish(None);
        tokio::time::sleep(LIMITS.refresh * 3).await;
        assert!(provider.fetches() > 100, "it is asked again and again");
        assert_eq!(refusal(&keyring, "k1").await, None);
    });
}

#[test]
fn a_provider_that_was_never_there_is_not_the_tokens_fault() {
    in_virtual_time(async {
        let provider = Provider::default();
        let (keyring, stopping) = start(&provider);
        assert_eq!(refusal(&keyring, "k1").await, Some(TokenRefused::KeysMissing));
        provider.publish(Some("k1"));
        assert_eq!(refusal(&keyring, "k1").await, Some(TokenRefused::KeysMissing));
        tokio::time::sleep(LIMITS.retry + Duration::from_secs(2)).await;
        assert_eq!(refusal(&keyring, "k1").await, None);
        drop(stopping);
        tokio::time::sleep(LIMITS.retry).await;
        assert_eq!(refusal(&keyring, "k1").await, None, "what is known outlives the task");
        assert_eq!(refusal(&keyring, "k2").await, Some(TokenRefused::KeyUnknown));
    });
}
