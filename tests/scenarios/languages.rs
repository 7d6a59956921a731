//! Databases whose texts are compared by the rules of a language, as most are.

use anyhow::{Result, ensure};
use pgmig_tests::locales::Locales;
use pgmig_tests::{ClusterOptions, Installation, Pair};

use super::shortcuts::{MEMORY, expect_indexes_of_server, left_to_server};

/// Texts that differ in letters, accents, case, punctuation or not at all; with names of the language and
/// without.
const SPOKEN: &str = r#"
    create extension amcheck;
    create collation "la""ng" (provider = libc, locale = 'en_US.UTF-8');
    create domain "tit""le" as varchar check (value <> 'untitled');
    create table spoken (
        id int4 not null, name text, email varchar(80) not null, title "tit""le", status text,
        phrase text collate "la""ng", bytes text collate "C", day date, long text, plain text);
    alter table spoken alter plain set storage plain;
    insert into spoken
    select g,
        (array['Müller', 'Muller', 'müller', 'MÜLLER', 'Mueller', 'de la Cruz', 'De La Cruz', 'delaCruz', 'O''Brien',
            'OBrien', 'O-Brien', 'Ångström', 'Zoë', 'zoe', null, ''])[1 + (g * 31) % 16]
            || case when g % 3 = 0 then ' ' || g % 700 else '' end,
        chr(97 + g % 26) || '.' || substr(md5(g::text), 1, 6) || '@ex-ample.com',
        translate(substr(md5((g % 20000)::text), 1, 1 + g % 9), '0123456789abcdef', '-_ .,/AbCäÄ😀日b%B'),
        (array['in progress', 'in_progress', 'In Progress', 'done', null])[1 + (g * 7) % 5],
        nullif(chr(1040 + g % 60) || (array['-', ' ', '', '–'])[1 + g % 4] || g % 977, 'Б-1'), chr(97 + g % 20),
        date '2024-01-01' + g % 300, left(repeat(md5((g % 90)::text) || ', ', 16), g % 507), 'plain ' || g
    from generate_series(1, 30000) g;
    create index on spoken (name);
    create index on spoken (name desc, id);
    create unique index on spoken (email);
    create index on spoken (title);
    create index on spoken (title desc nulls last, name);
    create unique index on spoken (title, name, id) nulls not distinct;
    create index on spoken (status);
    create index on spoken (status desc, title, id desc);
    create index on spoken (phrase);
    create index on spoken (phrase desc nulls last, bytes desc);
    create index on spoken (bytes, phrase);
    create index on spoken (day, title desc, name);
    create index on spoken (name collate "C", name collate "la""ng", name collate "en-x-icu");
    create index on spoken (name collate "la""ng") with (deduplicate_items = off, fillfactor = 60);
    create index on spoken (long);
    create index on spoken (long, title, long desc);
    create index on spoken (plain);
    create index on spoken (title) where name is null;
    create index on spoken (name text_pattern_ops);
    create index on spoken (lower(title));
    create unique index on spoken (lower(email), status) where status <> 'done' collate "C";
    create index on spoken ((name || ' ' || title) desc nulls last);
    create index on spoken (title varchar_pattern_ops, name);
    create index on spoken (upper(name) collate "C", upper(name));
    alter table spoken add primary key (email, id);"#;

/// Texts of which the C library says that they are in one order, and that they weigh in another one; and so many
/// of the same letters that they are not put in order by ourselves.
const CROOKED: &str = "
    create table crooked (word text, id int4);
    insert into crooked
    select word || g / 9, g
    from generate_series(1, 4000) g, unnest(array['゚と見', '゚゚と見', ')ञR', '॓)ञR', '्2M', '़्2M']) word;
    create table progress (word text, id int4);
    insert into progress
    select word, g from generate_series(1, 12000) g, unnest(array['in-progress', 'in_progress', 'done']) word;
    create index on crooked (word);
    create index on crooked (word desc, id);
    create index on crooked (id, word);
    create index on progress (word);
    create index on progress (id, word);";

#[test]
fn indexes_over_texts_of_a_language_are_those_that_the_server_builds() -> Result<()> {
    let installation = Installation::of_extension()?;
    let locales = Locales::compile(&installation, "en_US")?;
    let options = |name| {
        ClusterOptions::new(installation.clone(), name)
            .locale_path(locales.directory())
            .locale("UTF8", "en_US.UTF-8")
            .setting("log_min_messages", "debug1")
    };
    let pair = Pair::start(options("spoken"), options("heard"))?;
    let databases = pair.databases("spoken")?;
    databases.execute_on_source(&pair.source.adapt(SPOKEN))?;
    databases.execute_on_source(CROOKED)?;
    for memory in MEMORY {
        expect_indexes_of_server(&databases, memory)?;
    }
    ensure!(databases.target_value("select 'a' < 'B'")? == "t", "not the order of a language");
    let left = left_to_server(&pair.target)?;
    // If a comparison says what bytes do, there is nothing wrong with their order.
    let is_crooked = databases.target_value("select 'in_progress' < 'in-progress'")? == "t";
    let expected = ["progress_word_idx", "spoken_plain_idx"];
    ensure!(left == expected[usize::from(!is_crooked)..], "{left:?}");
    Ok(())
}
