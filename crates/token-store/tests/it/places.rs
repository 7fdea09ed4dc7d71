//! Where the store may be, and what must be true of its directory and files.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use testing::assert_matches;
use token_store::{Error, Kind, Store, StoreDir};

use crate::{Bench, TestResult, failure, store_dir};

fn made() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    Store::open_or_create(&store_dir(&dir)).expect("a new store");
    dir
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
}

/// Why the store in `dir` is not opened.
fn refusal(dir: &TempDir) -> String {
    let err = failure(Store::open(&store_dir(dir)));
    assert_eq!(err.kind(), Kind::UnsafePath, "{err}");
    let create = failure(Store::open_or_create(&store_dir(dir)));
    assert_eq!(create.to_string(), err.to_string());
    err.to_string().replace(
        &dir.path()
            .canonicalize()
            .expect("it exists")
            .display()
            .to_string(),
        "",
    )
}

#[test]
fn directory_and_file_are_private_from_the_beginning() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let deep = dir.path().join("a/b/store");
    Store::open_or_create(&StoreDir::at(&deep).expect("absolute")).expect("a new store");
    for path in [dir.path().join("a"), dir.path().join("a/b"), deep.clone()] {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
    assert_eq!(mode(&deep.join("store.db")), 0o600);
    assert_eq!(
        fs::read_dir(&deep).expect("it").count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn a_store_that_is_not_there_is_said_to_be_missing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let err = failure(Store::open(&store_dir(&dir)));
    assert_matches!(err, Error::NoStore { .. });
    fs::create_dir(dir.path().join("store")).expect("a directory");
    set_mode(&dir.path().join("store"), 0o700);
    let err = failure(Store::open(&store_dir(&dir)));
    assert_matches!(err, Error::NoStore { .. });
    assert_eq!(
        fs::read_dir(dir.path().join("store")).expect("it").count(),
        0
    );
}

#[test]
fn modes_that_let_others_in_are_refused() {
    let dir = made();
    let (store, file) = (dir.path().join("store"), dir.path().join("store/store.db"));
    for open in [0o755, 0o770, 0o777, 0o701] {
        set_mode(&store, open);
        let text = format!("unsafe path /store: its mode is {open:04o} and must be 0700");
        assert_eq!(refusal(&dir), text);
    }
    set_mode(&store, 0o700);
    for open in [0o644, 0o666, 0o660, 0o604] {
        set_mode(&file, open);
        let text = format!("unsafe path /store/store.db: its mode is {open:04o} and must be 0600");
        assert_eq!(refusal(&dir), text);
    }
    set_mode(&file, 0o600);
    Store::open(&store_dir(&dir)).expect("it is as it was");
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give files away
    }
    let dir = made();
    let file = dir.path().join("store/store.db");
    std::os::unix::fs::chown(&file, Some(65_534), None).expect("root may");
    let text = "unsafe path /store/store.db: it belongs to user 65534 and not to user 0";
    assert_eq!(refusal(&dir), text);
    std::os::unix::fs::chown(&file, Some(0), None).expect("root may");
    std::os::unix::fs::chown(dir.path().join("store"), Some(65_534), None).expect("root may");
    assert_eq!(
        refusal(&dir),
        "unsafe path /store: it belongs to user 65534 and not to user 0"
    );
}

#[test]
fn symbolic_links_are_not_followed_wherever_they_are() {
    let dir = made();
    let (store, file) = (dir.path().join("store"), dir.path().join("store/store.db"));
    let elsewhere = dir.path().join("elsewhere");
    let before = fs::read(&file).expect("a database");

    fs::rename(&file, &elsewhere).expect("a file of ours");
    symlink(&elsewhere, &file).expect("a link");
    assert_eq!(
        refusal(&dir),
        "unsafe path /store/store.db: it is a symbolic link"
    );
    fs::remove_file(&file).expect("the link");
    fs::rename(&elsewhere, &file).expect("a file of ours");

    symlink("/dev/null", store.join("store.db-journal")).expect("a link");
    assert_eq!(
        refusal(&dir),
        "unsafe path /store/store.db-journal: it is a symbolic link"
    );
    fs::remove_file(store.join("store.db-journal")).expect("the link");

    fs::rename(&store, &elsewhere).expect("a directory of ours");
    symlink(&elsewhere, &store).expect("a link");
    assert_eq!(refusal(&dir), "unsafe path /store: it is a symbolic link");
    fs::remove_file(&store).expect("the link");
    fs::rename(&elsewhere, &store).expect("a directory of ours");

    symlink(dir.path(), dir.path().join("parent")).expect("a link");
    let through = StoreDir::at(dir.path().join("parent/store")).expect("absolute");
    let err = failure(Store::open(&through));
    assert_eq!(err.kind(), Kind::UnsafePath, "{err}");
    let new = StoreDir::at(dir.path().join("parent/new/store")).expect("absolute");
    let err = failure(Store::open_or_create(&new));
    assert_eq!(err.kind(), Kind::UnsafePath, "{err}");
    assert!(!dir.path().join("new").exists());
    assert_eq!(fs::read(&file).expect("a database"), before);
}

#[test]
fn a_second_hard_link_is_refused() {
    let dir = made();
    fs::hard_link(dir.path().join("store/store.db"), dir.path().join("copy")).expect("a link");
    assert_eq!(
        refusal(&dir),
        "unsafe path /store/store.db: it has another hard link"
    );
}

/// Opening a FIFO would wait for a writer, and opening some devices does worse.
#[test]
fn a_thing_that_is_no_file_is_refused_without_opening_it() -> TestResult {
    let dir = made();
    let file = dir.path().join("store/store.db");
    fs::remove_file(&file)?;
    let text = "unsafe path /store/store.db: it is not a regular file";
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    assert_eq!(refusal(&dir), text);
    fs::remove_file(&file)?;
    fs::create_dir(&file)?;
    set_mode(&file, 0o700);
    assert_eq!(refusal(&dir), text);
    fs::remove_dir(&file)?;
    let socket = std::os::unix::net::UnixListener::bind(&file)?;
    set_mode(&file, 0o600);
    assert_eq!(refusal(&dir), text);
    drop(socket);
    fs::remove_dir_all(dir.path().join("store"))?;
    fs::write(dir.path().join("store"), "")?;
    assert_eq!(refusal(&dir), "unsafe path /store: it is not a directory");
    Ok(())
}

#[test]
fn only_absolute_paths_without_parents_are_taken() {
    for path in ["", "store", "./store", "/tmp/../etc"] {
        let err = StoreDir::at(path).expect_err("a relative path was taken");
        assert_eq!(err.kind(), Kind::UnsafePath, "{path}: {err}");
    }
    let long = StoreDir::at(format!("/{}", "x".repeat(10_000))).expect("it is absolute");
    assert_eq!(
        failure(Store::open_or_create(&long)).kind(),
        Kind::UnsafePath
    );
}

/// One thread puts a link and a file in the store's place in turn, the other opens it all the
/// while: whatever it meets, it never follows the link.
#[test]
fn a_file_that_keeps_turning_into_a_link_is_never_followed() -> TestResult {
    const OPENS: u32 = 1_000;
    let dir = made();
    let (file, link) = (
        dir.path().join("store/store.db"),
        dir.path().join("store/link"),
    );
    let (spare, target) = (dir.path().join("spare"), dir.path().join("target"));
    fs::copy(&file, &target)?;
    let target_inode = fs::metadata(&target)?.ino();
    // A store that is one generation ahead shows if it is ever opened.
    rusqlite::Connection::open(&target)?.execute_batch("UPDATE store SET generation = 777")?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| -> TestResult {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::rename(&file, &spare);
                let _ = symlink(&target, &link);
                let _ = fs::rename(&link, &file);
                let _ = fs::rename(&spare, &file);
            }
        });
        let outcome = (0..OPENS).try_for_each(|_| match Store::open(&store_dir(&dir)) {
            Ok(store) => match store.change_counter() {
                Ok(777) => Err("the link was followed".to_owned()),
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        });
        done.store(true, Ordering::Relaxed);
        Ok(outcome?)
    })?;
    assert_eq!(fs::metadata(&target)?.ino(), target_inode);
    Ok(())
}

#[test]
fn a_read_only_store_is_read_and_not_written() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", token_store::WallKind::Counter);
    let open = bench.login(&token, crate::PIN)?;
    let key = bench.key(&open);
    let store = bench.dir.path().join("store");
    for (path, closed, opened) in [(store.clone(), 0o500, 0o700), (bench.file(), 0o400, 0o600)] {
        set_mode(&path, closed);
        let mut store = bench.reopen()?;
        assert!(store.is_read_only());
        let token = store.find_token("work")?;
        assert_eq!(store.objects(token.id)?.len(), 2);
        let pin = crate::pin(crate::PIN);
        let open = token_store::OpenToken::open(&store, &bench.tpm, &token, Some(&pin))?;
        assert!(crate::signs(&open, &key));
        let wrong = crate::pin("wrong");
        let err = failure(token_store::OpenToken::open(
            &store,
            &bench.tpm,
            &token,
            Some(&wrong),
        ));
        assert_matches!(err, Error::WrongPin { left: Some(2), .. });
        open.verify(&store, &pin)?;
        let err = failure(token_store::token::rename(&mut store, &token, "other"));
        assert_matches!(err, Error::ReadOnly);
        let spec = token_store::KeySpec::new(tpm_core::KeyType::EccP256, "k");
        assert_matches!(failure(open.generate(&mut store, &spec)), Error::ReadOnly);
        assert_eq!(Error::ReadOnly.kind().exit_code(), 11);
        set_mode(&path, opened);
    }
    Ok(())
}

/// Long after it was last changed, when nothing but the file's own state is looked at.
#[test]
fn a_settled_store_that_loses_its_name_is_noticed() -> TestResult {
    type Act = fn(&Path, &Path) -> io::Result<()>;
    let acts: [(&str, Act); 4] = [
        ("moved", |file, spare| fs::rename(file, spare)),
        ("moved and linked", |file, spare| {
            fs::rename(file, spare)?;
            symlink(spare, file)
        }),
        ("replaced", |file, spare| {
            fs::copy(file, spare)?;
            fs::rename(spare, file)
        }),
        ("removed", |file, _| fs::remove_file(file)),
    ];
    let dirs = acts.map(|_| made());
    let stores = dirs
        .each_ref()
        .map(|dir| Store::open(&store_dir(dir)).unwrap());
    // The clock of the file system ticks, and with it goes the doubt whether a change would show.
    thread::sleep(Duration::from_millis(150));
    for ((dir, store), (what, act)) in dirs.iter().zip(&stores).zip(acts) {
        let counter = store.change_counter()?;
        assert_eq!(store.change_counter()?, counter);
        let store_dir = dir.path().join("store");
        act(&store_dir.join("store.db"), &store_dir.join("spare"))?;
        assert!(store.change_counter().is_err(), "{what}");
    }
    Ok(())
}

#[test]
fn a_store_that_was_replaced_while_open_is_noticed() -> TestResult {
    let dir = made();
    let mut store = Store::open(&store_dir(&dir))?;
    let file = dir.path().join("store/store.db");
    let spare = dir.path().join("store/spare");
    fs::copy(&file, &spare)?;
    fs::rename(&spare, &file)?;
    assert_matches!(failure(store.change_counter()), Error::Replaced);
    assert_matches!(failure(store.tokens()), Error::Replaced);
    store = Store::open(&store_dir(&dir))?;
    assert!(store.tokens()?.is_empty());
    fs::remove_file(&file)?;
    assert_matches!(failure(store.tokens()), Error::Replaced);
    Ok(())
}

/// The directory is moved away, with the store open; another one, or a copy, comes in its place.
#[test]
fn a_store_whose_directory_was_replaced_while_open_is_noticed() -> TestResult {
    let dir = made();
    let (place, away) = (dir.path().join("store"), dir.path().join("away"));
    let store = Store::open(&store_dir(&dir))?;
    // Past the doubt whether a change would show.
    thread::sleep(Duration::from_millis(150));
    let counter = store.change_counter()?;
    fs::rename(&place, &away)?;
    assert_matches!(failure(store.change_counter()), Error::Replaced);
    assert_matches!(failure(store.tokens()), Error::Replaced);
    assert_matches!(
        failure(Store::open(&store_dir(&dir))),
        Error::NoStore { .. }
    );
    Store::open_or_create(&store_dir(&dir))?;
    assert_matches!(failure(store.change_counter()), Error::Replaced);
    fs::remove_dir_all(&place)?;
    // It comes back, and is the same.
    fs::rename(&away, &place)?;
    assert_eq!(store.change_counter()?, counter);
    store.tokens()?;
    Ok(())
}

/// The counter looks up the path of the directory at most each ten milliseconds.
#[test]
fn a_directory_that_was_moved_is_noticed_soon_and_by_each_read_at_once() -> TestResult {
    let dir = made();
    let store = Store::open(&store_dir(&dir))?;
    thread::sleep(Duration::from_millis(150));
    for _ in 0..3 {
        store.change_counter()?;
    }
    fs::rename(dir.path().join("store"), dir.path().join("away"))?;
    assert_matches!(failure(store.tokens()), Error::Replaced);
    thread::sleep(Duration::from_millis(11));
    assert_matches!(failure(store.change_counter()), Error::Replaced);
    Ok(())
}

#[test]
fn a_store_that_was_read_only_is_opened_anew_when_it_can_be_written() -> TestResult {
    let dir = made();
    let place = dir.path().join("store");
    let mode = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode));
    mode(0o500)?;
    let store = Store::open(&store_dir(&dir))?;
    assert!(store.is_read_only());
    thread::sleep(Duration::from_millis(150));
    store.change_counter()?;
    store.change_counter()?;
    mode(0o700)?;
    assert_matches!(failure(store.change_counter()), Error::Replaced);
    let store = Store::open(&store_dir(&dir))?;
    assert!(!store.is_read_only());
    Ok(())
}
