//! A console to look at: the history of a real book, a handbook with texts, and a space with many
//! documents, in memory.
//!
//! ```sh
//! cargo run --release -p spacefold-server --example console
//! ```
//! It says where it is, and ends with its standard input. With `--tokens` it asks for one, which it
//! says too.

use std::{
    error::Error,
    io::{BufReader, Read, Write},
};

use flate2::bufread::MultiGzDecoder;
use spacefold::{SpaceEvent, Spacefold, Subscription, admin::ImportOptions};
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight, router, serve};

const BOOK: &[u8] = include_bytes!("../../../tests/fixtures/book.jsonl.gz");

/// Documents of the space with many.
const MANY_DOCUMENTS: usize = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let spaces = Spacefold::in_memory()?;
    let book = BufReader::new(MultiGzDecoder::new(BOOK));
    spaces.import(book, &ImportOptions::default(), &mut ())?;
    add_handbook(&spaces)?;
    add_many(&spaces)?;
    let place = tempfile::tempdir()?;
    let mut settings = Settings::default();
    let mut said = serde_json::Map::new();
    if std::env::args().any(|argument| argument == "--tokens") {
        let tokens = TokenFile::at(place.path().join("tokens"));
        let every = ["*".parse()?];
        let token = tokens.create(TokenGrant::new(TokenRight::ALL, every))?;
        said.insert("token".to_owned(), token.into());
        let some = TokenGrant::new([TokenRight::Read], ["book-*".parse()?]);
        said.insert("book_token".to_owned(), tokens.create(some)?.into());
        settings.tokens = Some(tokens);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        said.insert("url".to_owned(), url.into());
        writeln!(std::io::stdout(), "{}", serde_json::Value::from(said))?;
        let drain = settings.drain.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drain.start();
        });
        serve(listener, router(spaces.clone(), settings.clone()), &settings).await
    })?;
    spaces.close()?;
    Ok(())
}

/// A space with everything that a space can have.
fn add_handbook(spaces: &Spacefold) -> Result<(), Box<dyn Error>> {
    let service = spaces.service();
    service.create_space("handbook", "The handbook")?;
    service.activate_space("handbook")?;
    let text = "# Welcome\n\nRead this first.\nAsk when something is not clear.\n\n## Keys\n\nAt the door.\n";
    service.add_document("handbook", "intro", "/intro.md")?;
    service.set_content("handbook", "intro", text.as_bytes())?;
    service.add_document("handbook", "holidays", "/people/holidays.md")?;
    service.set_content("handbook", "holidays", b"# Holidays\n\nTwenty five days.\n")?;
    service.set_variable("handbook", "audience", "everybody")?;
    let text =
        text.replace("At the door.", "At the front desk.").replace("Ask when", "Please ask when");
    service.set_content("handbook", "intro", text.as_bytes())?;
    service.move_document("handbook", "intro", "/welcome.md")?;
    let hostile = "<img src=x onerror=alert(1)>&\"'";
    service.add_document("handbook", hostile, format!("/odd/{hostile}.md"))?;
    service.set_variable("handbook", "script", "</script><script>alert(1)</script>")?;
    spaces.append([
        SpaceEvent::render_started("handbook", "holidays"),
        SpaceEvent::render_failed("handbook", "holidays", "the template names no year"),
        SpaceEvent::cache_invalidated("handbook", ["intro"], "a new theme"),
    ])?;
    for name in ["mirror", "index"] {
        spaces.feed().subscribe_durable(name, &Subscription::from_start())?;
    }
    spaces.feed().reset_durable("mirror", spaces.durable_head().previous())?;
    Ok(())
}

fn add_many(spaces: &Spacefold) -> Result<(), Box<dyn Error>> {
    spaces.append([SpaceEvent::space_created("many", "Many documents")])?;
    let numbers: Vec<usize> = (0..MANY_DOCUMENTS).collect();
    for numbers in numbers.chunks(4_096) {
        let added = numbers.iter().map(|n| {
            SpaceEvent::document_added("many", format!("d{n}"), format!("/{:03}/{n}.md", n % 977))
        });
        spaces.append(added.collect::<Vec<_>>())?;
    }
    Ok(())
}
