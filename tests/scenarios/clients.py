"""Calls pgmig.migrate through psycopg, with autocommit on and off; arguments: target, source."""

import sys

import psycopg2

COLUMNS = [
    "table_schema",
    "table_name",
    "source_rows",
    "target_rows",
    "source_checksum",
    "target_checksum",
    "bytes_copied",
    "elapsed",
    "status",
    "detail",
]
target, source = sys.argv[1:]


def migrate(cursor):
    cursor.execute("select * from pgmig.migrate(%s)", (source,))
    rows = cursor.fetchall()
    assert [column.name for column in cursor.description] == COLUMNS, cursor.description
    assert [(row[1], row[2], row[3], row[8]) for row in rows] == [("t", 3, 3, "match")], rows


connection = psycopg2.connect(target)
with connection, connection.cursor() as cursor:
    migrate(cursor)

# The same transaction has read something before and goes on afterwards.
with connection, connection.cursor() as cursor:
    cursor.execute("select count(*) from pgmig.runs")
    assert cursor.fetchone() == (1,)
    migrate(cursor)
    cursor.execute("select count(*) from pgmig.runs")
    assert cursor.fetchone() == (2,)

# A cursor on the server's side is a portal that is fetched from in steps.
with connection, connection.cursor("steps") as cursor:
    cursor.itersize = 1
    cursor.execute("select table_name, status from pgmig.migrate(%s)", (source,))
    assert list(cursor) == [("t", "match")]

connection.autocommit = True
with connection.cursor() as cursor:
    migrate(cursor)
    cursor.execute("select pgmig.start(%s)", (source,))
    (run,) = cursor.fetchone()
    cursor.execute("select status from pgmig.wait(%s)", (run,))
    assert cursor.fetchall() == [("match",)]
    try:
        cursor.execute("select * from pgmig.migrate(%s, %s)", (source, '{"jobz": 1}'))
    except psycopg2.Error as error:
        assert error.pgcode == "22023" and "jobz" in error.diag.message_primary, error
    else:
        raise AssertionError("an unknown option was let through")
connection.close()
print("ok")
