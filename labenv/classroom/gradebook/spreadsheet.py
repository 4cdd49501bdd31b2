"""Grades for a spreadsheet program: CSV with one table, XLSX with all of them. Text is never a formula there."""

import csv
import io
from datetime import datetime

from labenv.classroom.gradebook.book import Book
from labenv.classroom.gradebook.tables import Cell, points_by_step, summary, tables
from labenv.text import cell, clean

_WIDEST = 60  # letters of a column before its text runs on in the next line
_LONGEST = 32_767  # letters in a cell (Excel specifications and limits)


def as_csv(book: Book) -> bytes:
    """One row a student, with a column for each step's points; `cell` keeps formulas out.

    As RFC 4180 has it, in UTF-8 with a BOM, without which Excel takes the file for Latin-1.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    told, points = summary(book), points_by_step(book)
    writer.writerow([*told.heading, *points.heading[2:]])
    for row, of_steps in zip(told.rows, points.rows, strict=True):
        writer.writerow([_plain(value) for value in (*row, *of_steps[2:])])
    return buffer.getvalue().encode("utf-8-sig")


def as_xlsx(book: Book) -> bytes:
    """A workbook with a sheet for each table (ISO/IEC 29500). Raises ImportError without XlsxWriter.

    Each text is written as a string cell, which no spreadsheet program evaluates, so that it stands there unchanged.
    """
    import xlsxwriter  # of the extra `class`: whoever writes no workbook needs it not

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        bold = workbook.add_format({"bold": True, "bottom": 1})
        time = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        number = workbook.add_format({"num_format": "0.##"})
        text = workbook.add_format({"text_wrap": True, "valign": "top"})
        workbook.set_properties({"title": clean(f"{book.of.name}: {book.lab.title}"), "created": book.graded})
        for table in tables(book):
            sheet = workbook.add_worksheet(table.name)
            sheet.freeze_panes(1, 1)
            sheet.autofilter(0, 0, max(1, len(table.rows)), len(table.heading) - 1)
            for column, title in enumerate(table.heading):
                sheet.write_string(0, column, title, bold)
                longest = max((len(_plain(row[column])) for row in table.rows), default=0)
                sheet.set_column(column, column, min(_WIDEST, max(len(title), longest)) + 3)
            for place, row in enumerate(table.rows, 1):
                for column, value in enumerate(row):
                    match value:
                        case str() if value:
                            sheet.write_string(place, column, value[:_LONGEST], text)
                        case datetime():
                            sheet.write_datetime(place, column, value, time)
                        case float() | int():
                            sheet.write_number(place, column, value, number)
    return buffer.getvalue()


def _plain(value: Cell) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(sep=" ", timespec="minutes")
        case float() | int():
            return f"{value:.10g}"
    return cell(value)
