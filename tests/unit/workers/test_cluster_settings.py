"""The section [cluster]: what it means when little is said, and a sentence for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from workers.cluster_settings import (
    brain_settings,
    contents_of,
    is_key,
    parse_cluster_url,
    read_secret_key,
)
from workers.config import load
from workers.settings import Config

NODE = '[node]\nid = 1\nsecret = "0123456789abcdef"\n[cluster]\n'
PEER = 'peers = { 2 = "tcp://127.0.0.2:6100" }\n'
PAIR = NODE + 'bind = "tcp://127.0.0.1:6100"\ninsecure = true\n' + PEER
KEY = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
OTHER_KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


def loaded(folder: Path, text: str) -> Config:
    file = folder / "s.toml"
    file.write_text(text)
    return load(file)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [each.removeprefix(f"{folder / 's.toml'}:") for each in caught.value.mistakes]


def test_a_pair(tmp_path: Path) -> None:
    config = loaded(tmp_path, PAIR + 'tags = { vip = "backup", b = { address = "10.0.0.9" } }\n')
    cluster = config.cluster
    assert cluster.is_used
    assert cluster.numbers == (1,)
    assert cluster.tag_names == ("vip", "b")
    assert cluster.tags["b"].address == "10.0.0.9"
    assert str(cluster.peers[2]) == "127.0.0.2:6100"
    assert contents_of(config, cluster) == {"location", "limits", "destinations"}
    assert config.replicates("location")
    assert not config.replicates("dialogs")


def test_no_cluster_is_no_cluster(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert not config.cluster.is_used
    assert config.cluster.clusters == ()
    assert not config.replicates("location")


def test_what_is_on_is_kept_equal(tmp_path: Path) -> None:
    config = loaded(tmp_path, PAIR + "[dialog]\nenabled = true\ndefault_timeout = 50_000\n")
    contents = contents_of(config, config.cluster)
    assert contents == {"location", "dialogs", "profiles", "limits", "destinations"}
    # A call may come back as long as it may last: its tombstone has to stay that long.
    assert brain_settings(config, config.cluster, (2,)).pace.longest_life_s == 50_000
    shared = loaded(tmp_path, PAIR + '[storage]\nmode = "sql-only"\n')
    assert not shared.replicates("location")


def test_clusters_with_different_contents(tmp_path: Path) -> None:
    further = '[[cluster.further]]\nid = 2\ncontents = ["limits"]\n' + PEER
    config = loaded(tmp_path, PAIR + further)
    assert config.cluster.numbers == (1, 2)
    assert contents_of(config, config.cluster.further[0]) == {"limits"}
    settings = brain_settings(config, config.cluster.further[0], (2,))
    assert (settings.node, settings.cluster, settings.peers) == (1, 2, (2,))
    assert settings.mistakes() == []


def test_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "key").chmod(0o600)
    keys = f'key_file = "key"\npeer_keys = {{ 2 = "{OTHER_KEY}" }}\n'
    config = loaded(tmp_path, PAIR.replace("insecure = true\n", keys))
    assert config.cluster.key_file is not None
    assert read_secret_key(config.cluster.key_file) == KEY


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("[cluster]\nseed = true", ["1: [cluster] needs bind, this node's own address: write"]),
        (
            NODE.replace('secret = "0123456789abcdef"\n', "") + PAIR.removeprefix(NODE),
            ["3: [cluster] needs a [node] secret, the same on every node"],
        ),
        (PAIR.replace(PEER, ""), ["4: [cluster] needs peers, or from_database = true"]),
        (PAIR.replace("2 =", "1 ="), ["7: [cluster] peers names node 1, which is this one"]),
        (PAIR.replace("127.0.0.2", "127.0.0.1"), ["7: [cluster] peers: node 2 has the address of"]),
        (PAIR.replace("insecure = true\n", ""), ["4: [cluster] needs key_file", "4: [cluster] pe"]),
        (PAIR + 'key_file = "x"', ["6: [cluster] has keys and insecure = true"]),
        (PAIR + "silence_ms = 400", ["8: [cluster] silence_ms must be at least three beats, 750"]),
        (PAIR + "from_database = true", ["7: [cluster] has peers and from_database: it is one"]),
        (
            PAIR + 'contents = ["location"]\n[storage]\nmode = "sql-only"',
            ["8: [cluster] contents: with mode sql-only the database holds the phones"],
        ),
        (
            PAIR + "[registrar]\nmatch_call_id = true",
            ["4: [cluster] contents has location, and [registrar] match_call_id keeps"],
        ),
        (
            PAIR + 'contents = ["dialogs"]',
            ["8: [cluster] contents has dialogs, but [dialog] is not enabled"],
        ),
        (PAIR + 'contents = ["calls"]', ["8: [cluster] contents must be 'location', 'dialogs',"]),
        (
            PAIR + '[[cluster.further]]\nid = 1\ncontents = ["limits"]\n' + PEER,
            ["8: [cluster] gives two clusters the same id"],
        ),
        (
            PAIR + '[[cluster.further]]\nid = 2\ncontents = []\npeers = { 2 = "tcp://127.0.0.3" }',
            ["11: [cluster] 2: peers: node 2 has two addresses"],
        ),
        (
            PAIR
            + 'tags = { a = "backup" }\n[[cluster.further]]\nid = 2\ncontents = []\n'
            + PEER
            + 'tags = { a = "backup" }\n',
            ["8: [cluster] gives two sharing tags the same name"],
        ),
        (
            PAIR + '[[cluster.further]]\nid = 2\ncontents = ["limits"]',
            ["8: [cluster] 2: needs"],
        ),
        (
            PAIR.replace("2 =", "3 = 'tcp://127.0.0.2:6100', 2 ="),
            ["7: [cluster] peers gives two nodes the same address"],
        ),
        (
            PAIR.replace('"tcp://127.0.0.1', '"ipc://x'),
            ['5: [cluster] bind "ipc://x:6100" is'],
        ),
        (PAIR.replace("127.0.0.1", "0.0.0.0"), ['5: [cluster] bind "tcp://0.0.0.0:6100" stands']),
        (
            PAIR.replace("127.0.0.1", "localhost"),
            ['5: [cluster] bind "tcp://localhost:6100" is'],
        ),
        (PAIR.replace("6100", "65535", 1), ['5: [cluster] bind "tcp://127.0.0.1:65535" has port']),
        (PAIR.replace("2 =", "x ="), ['7: [cluster] peers.x "x" is no number of a node']),
        (PAIR + 'tags = { vip = "active" }', ['8: [cluster] tags.vip "active" must be "backup"']),
        (PAIR + 'tags = { "a/1" = "backup" }', ['8: [cluster] tags.a/1 "a/1" is no name of a tag']),
        (
            PAIR + 'tags = { a = { address = "x" } }',
            ['8: [cluster] tags.a.address "x" is no'],
        ),
        (PAIR + 'peer_keys = { 2 = "short" }', ['8: [cluster] peer_keys.2 "short" is no public k']),
    ],
)
def test_mistakes(tmp_path: Path, text: str, sentences: list[str]) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == len(sentences), found
    for sentence, begin in zip(found, sentences, strict=True):
        assert sentence.startswith(begin), found


def test_keys_that_do_not_fit(tmp_path: Path) -> None:
    keys = f'key_file = "key"\npeer_keys = {{ 2 = "{KEY}", 3 = "{KEY}" }}\n'
    text = PAIR.replace("insecure = true\n", keys)
    assert [each.partition(" (")[0] for each in mistakes(tmp_path, text)] == [
        f'6: [cluster] key_file "{tmp_path / "key"}" cannot be read: No such file or directory.',
        "7: [cluster] peer_keys gives two nodes the same key.",
        "7: [cluster] peer_keys has a key of node 3, which is no peer.",
    ]


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        (0o644, KEY, "can be read by others: chmod 600"),
        (0o620, KEY, "can be read by others"),
        (0o600, KEY[1:], "holds no secret key"),
        (0o600, "\xff", "holds no secret key"),
    ],
)
def test_key_files(tmp_path: Path, mode: int, text: str, words: str) -> None:
    file = tmp_path / "key"
    file.write_text(text, encoding="latin-1")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_secret_key(file)
    file.write_text(KEY)
    file.chmod(0o640)
    assert read_secret_key(file) == KEY


def test_what_a_key_is() -> None:
    assert is_key(KEY)
    assert not is_key("#" * 40)  # more than 32 bits in each five letters
    assert not is_key(KEY[:-1] + " ")


@pytest.mark.parametrize("url", ["bin:10.0.0.1:5555", "bins:10.0.0.1:5555", "tcp://10.0.0.1:5555"])
def test_the_urls_of_the_table(url: str) -> None:
    assert str(parse_cluster_url(url)) == "10.0.0.1:5555"


def test_a_sharing_tag_is_one_of_the_cluster(tmp_path: Path) -> None:
    good = PAIR + 'tags = { vip = "backup" }\n[dialog]\nsharing_tag = "vip"\n'
    assert loaded(tmp_path, good).dialog.sharing_tag == "vip"
    wrong = PAIR + '[dialog]\nsharing_tag = "vip"\n[location]\nsharing_tag = "other"\n'
    assert mistakes(tmp_path, wrong) == [
        '9: [dialog] sharing_tag: [cluster] tags has no "vip".',
        '11: [location] sharing_tag: [cluster] tags has no "other".',
    ]
    alone = '[dialog]\nsharing_tag = "vip"\n'
    assert mistakes(tmp_path, alone) == ['2: [dialog] sharing_tag: [cluster] tags has no "vip".']
