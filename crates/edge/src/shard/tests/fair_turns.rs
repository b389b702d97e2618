//! Fair turns within an app server's window: sessions that send much wait for one another, those
//! that send little wait for nobody.

use super::app::App;
use super::client::Client;
use super::world::World;
use crate::reply;
use crate::shard::command::Command;

const WINDOW: u32 = 2_048;

/// An app server whose window is empty.
fn with_window(world: &mut World) -> App {
    let app = world.app("a");
    moves_window(world, &app);
    app
}

/// The app server says that it has handled everything.
fn moves_window(world: &mut World, app: &App) {
    let credit = &app.trunk.credit;
    credit.begin_round(WINDOW);
    if credit.set_full_at(credit.weight() + u64::from(WINDOW)) {
        let (reply, _) = reply::pair();
        world.tell(Command::CreditReturned { trunk: app.trunk.number, reply });
    }
}

/// Sends this many messages of about 100 bytes at once.
fn floods(client: &Client, count: usize) {
    let text = format!("4{}", "f".repeat(100));
    (0..count).for_each(|_| client.writes(&text));
}

/// An app server whose window one session has filled.
fn flooded() -> (World, App, Client) {
    let mut world = World::new();
    let app = with_window(&mut world);
    let flooder = world.websocket(&app);
    moves_window(&mut world, &app);
    floods(&flooder, 1_000);
    world.run();
    (world, app, flooder)
}

/// How many messages of the session are among those that arrived.
fn of(heard: &[String], client: &Client) -> usize {
    let begin = format!("{}: ", client.number.0);
    heard.iter().filter(|word| word.starts_with(&begin)).count()
}

#[test]
fn a_flood_fills_the_window_and_no_more() {
    let (mut world, app, flooder) = flooded();
    let first = of(&app.hears(), &flooder);
    assert!((10..=24).contains(&first), "{first} messages under way");
    assert!(flooder.wire.unread_bytes() > 0, "the rest stays in the client's stream");
    moves_window(&mut world, &app);
    let second = of(&app.hears(), &flooder);
    assert!((10..=24).contains(&second), "{second} messages under way");
}

#[test]
fn a_session_that_sends_little_does_not_wait_for_one_that_floods() {
    let mut world = World::new();
    let app = with_window(&mut world);
    let flooder = world.websocket(&app);
    let (quiet, poller) = (world.websocket(&app), world.polling(&app));
    moves_window(&mut world, &app);
    for round in 0..20 {
        floods(&flooder, 100);
        world.run();
        app.hears();
        world.client_says(&quiet, "4hello");
        assert_eq!(app.hears(), [format!("{}: hello", quiet.number.0)], "round {round}");
        assert_eq!(world.post(&poller, "4hi"), "ok", "round {round}");
        assert_eq!(app.hears(), [format!("{}: hi", poller.number.0)], "round {round}");
        moves_window(&mut world, &app);
        app.hears();
    }
}

#[test]
fn those_that_flood_have_turns() {
    let mut world = World::new();
    let app = with_window(&mut world);
    let flooders = [world.websocket(&app), world.websocket(&app), world.websocket(&app)];
    moves_window(&mut world, &app);
    // The first one has begun long before the others.
    floods(&flooders[0], 600);
    world.run();
    app.hears();
    floods(&flooders[1], 300);
    floods(&flooders[2], 300);
    world.run();
    let mut heard = Vec::new();
    for _ in 0..30 {
        moves_window(&mut world, &app);
        heard.extend(app.hears());
    }
    let counts = flooders.each_ref().map(|flooder| of(&heard, flooder));
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least >= 100 && most - least <= 2 * 20, "{counts:?}");
}

#[test]
fn a_post_of_a_session_that_floods_waits_for_its_turn() {
    let mut world = World::new();
    let app = with_window(&mut world);
    let client = world.polling(&app);
    moves_window(&mut world, &app);
    let body = vec![format!("4{}", "f".repeat(200)); 20].join("\x1e");
    assert_eq!(world.post(&client, &body), "ok");
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4two"), "waits", "its body is not wanted");
    app.hears();
    moves_window(&mut world, &app);
    assert_eq!(world.finish_post(&client, &mut post, "4two"), "ok");
    assert_eq!(app.hears(), [format!("{}: two", client.number.0)]);
}

#[test]
fn very_many_that_send_little_wait_when_they_are_too_much_together() {
    let mut world = World::new();
    let app = with_window(&mut world);
    let clients = world.many(&app, 200);
    moves_window(&mut world, &app);
    app.hears();
    for client in &clients {
        floods(client, 1);
    }
    world.run();
    let heard = app.hears().len();
    assert!((45..=55).contains(&heard), "four windows are under way: {heard}");
    moves_window(&mut world, &app);
    assert!(!app.hears().is_empty(), "the others follow");
}

#[test]
fn a_client_that_waits_for_the_window_is_not_blamed_for_its_silence() {
    let (mut world, _app, _flooder) = flooded();
    world.pass(std::time::Duration::from_secs(120));
    assert_eq!(world.sessions("websocket"), 1);
}

#[test]
fn what_waits_is_found_when_room_was_made_while_it_began_to_wait() {
    let mut world = World::new();
    let app = with_window(&mut world);
    let flooder = world.websocket(&app);
    moves_window(&mut world, &app);
    assert!(!app.trunk.take_waiting(), "nothing waits");
    floods(&flooder, 1_000);
    world.run();
    assert!(!app.trunk.take_waiting(), "there is no room for what waits");
    // Room that no shard has been told of.
    let credit = &app.trunk.credit;
    credit.begin_round(WINDOW);
    credit.set_full_at(credit.weight() + u64::from(WINDOW));
    assert!(app.trunk.take_waiting());
    assert!(!app.trunk.take_waiting(), "once");
    let (reply, _) = reply::pair();
    world.tell(Command::CreditReturned { trunk: app.trunk.number, reply });
    moves_window(&mut world, &app);
    assert!(!app.trunk.take_waiting(), "it waits again, and there is no room");
    credit.set_full_at(credit.weight() + u64::from(WINDOW));
    assert!(app.trunk.take_waiting(), "what still waits is noted again");
}
