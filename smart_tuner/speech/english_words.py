"""What English abbreviations, units, currencies and signs stand for, and which words numbers follow."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miss", "dr.": "doctor", "st.": "saint", "prof.": "professor",
    "jr.": "junior", "sr.": "senior", "gen.": "general", "col.": "colonel", "capt.": "captain", "lt.": "lieutenant",
    "sgt.": "sergeant", "maj.": "major", "gov.": "governor", "sen.": "senator",
    "pres.": "president", "rev.": "reverend", "hon.": "honorable", "co.": "company", "ltd.": "limited",
    "inc.": "incorporated", "corp.": "corporation", "dept.": "department", "ave.": "avenue", "blvd.": "boulevard",
    "rd.": "road", "mt.": "mount", "ft.": "fort", "etc.": "et cetera", "vs.": "versus", "e.g.": "for example",
    "i.e.": "that is", "approx.": "approximately", "vol.": "volume",
    "jan.": "january", "feb.": "february", "aug.": "august", "sept.": "september", "oct.": "october",
    "nov.": "november", "dec.": "december",
}  # fmt: skip
BEFORE_NUMBERS = {
    "Nos.": "numbers", "p.": "page", "pp.": "pages", "ch.": "chapter", "Ch.": "chapter", "fig.": "figure",
    "Fig.": "figure", "Rm.": "room", "Apt.": "apartment", "ext.": "extension", "c.": "circa",
}  # fmt: skip
"""Abbreviations that stand for this before a number alone."""
ENDING = {
    "jr.", "sr.", "co.", "ltd.", "inc.", "corp.", "dept.", "ave.", "blvd.", "rd.", "etc.", "jan.", "feb.", "aug.",
    "sept.", "oct.", "nov.", "dec.",
}  # fmt: skip
"""Those whose full stop may be the sentence's too."""
SIGNS = {"%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at", "№": "number", "°": "degrees",
         "‰": "per mille", "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "≤": "at most",
         "≥": "at least"}  # fmt: skip
CURRENCIES = {
    "US $": ("u s dollar", "u s dollars", "cent", "cents"),
    "US$": ("u s dollar", "u s dollars", "cent", "cents"),
    "A$": ("australian dollar", "australian dollars", "cent", "cents"),
    "C$": ("canadian dollar", "canadian dollars", "cent", "cents"),
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "¥": ("yen", "yen", "sen", "sen"),
}
"""One, many, and of the hundredth part."""
SCALES = {
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion", "k": "thousand",
    "m": "million", "bn": "billion", "K": "thousand", "M": "million", "B": "billion", "T": "trillion",
}  # fmt: skip
UNITS = {
    "km²": ("square kilometer", "square kilometers"), "m²": ("square meter", "square meters"),
    "cm²": ("square centimeter", "square centimeters"), "mm²": ("square millimeter", "square millimeters"),
    "m³": ("cubic meter", "cubic meters"), "cm³": ("cubic centimeter", "cubic centimeters"),
    "ft²": ("square foot", "square feet"), "in²": ("square inch", "square inches"),
    "mi²": ("square mile", "square miles"), "yd²": ("square yard", "square yards"),
    "ft³": ("cubic foot", "cubic feet"), "m/s": ("meter per second", "meters per second"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"),
    "V": ("volt", "volts"), "mAh": ("milliampere hour", "milliampere hours"), "dB": ("decibel", "decibels"),
    "Mbps": ("megabit per second", "megabits per second"), "TB": ("terabyte", "terabytes"),
    "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"), "kcal": ("kilocalorie", "kilocalories"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"),
    "km/h": ("kilometer per hour", "kilometers per hour"), "mph": ("mile per hour", "miles per hour"),
    "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"), "ml": ("milliliter", "milliliters"), "ft": ("foot", "feet"), "in": ("inch", "inches"),
    "oz": ("ounce", "ounces"), "lbs": ("pound", "pounds"), "lb": ("pound", "pounds"), "sec": ("second", "seconds"),
    "min": ("minute", "minutes"), "hrs": ("hour", "hours"), "hr": ("hour", "hours"), "kHz": ("kilohertz", "kilohertz"),
    "GHz": ("gigahertz", "gigahertz"), "MHz": ("megahertz", "megahertz"), "Hz": ("hertz", "hertz"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"), "°": ("degree", "degrees"),
}  # fmt: skip
"""One and many."""
COUNTED = {
    "Chapter", "Part", "Book", "Volume", "Act", "Scene", "Section", "War", "Phase", "Type", "Class", "Article",
    "Figure", "Table", "Stage", "Level", "Title", "Episode", "Bowl", "Appendix", "Category", "Rocky", "people", "men",
    "women", "children", "feet",
}  # fmt: skip
"""Words that a plain number goes with: before it (Chapter IV) or after it (1500 people)."""
REGNAL = {
    "Alexander", "Catherine", "Charles", "Edward", "Elizabeth", "Francis", "Frederick", "George", "Henry", "James",
    "John", "Louis", "Mary", "Napoleon", "Nicholas", "Paul", "Peter", "Philip", "Pius", "Richard", "William",
}  # fmt: skip
"""Names after which a single I, V or X is a number."""
NO_NAMES = {"The", "An", "This", "That", "His", "Her", "Your", "Our", "Their", "No", "With", "And", "Size"}
"""Capitalised words after which IV and XL are letters."""
OPENERS = (
    "The", "A", "An", "He", "She", "It", "We", "They", "I", "You", "This", "That", "These", "Those", "There", "In",
    "On", "At", "But", "And", "So", "If", "When", "Then", "His", "Her", "Its", "My", "Our", "Your", "Their", "What",
    "Why", "How", "Who", "Where", "No", "Yes", "Not", "For", "As", "After", "Before", "Now", "One", "Some", "All",
    "Most",
)  # fmt: skip
"""Words that begin a sentence; other capitals after a dotted abbreviation are mostly names: the U.S. Army."""
LETTERS_NOT_WORD = {
    "AI", "CEO", "CO", "USD", "EUR",
    "CIA", "CIO", "DIY", "EU", "FAQ", "FBI", "GDP", "IBM", "ID", "IOU", "IQ", "NYC", "OK", "UAE", "UFO",
    "UK", "UN", "US", "USA", "USB", "USSR", "VIP", "AD", "AM", "BCE", "CE", "IV",
}  # fmt: skip
"""Capitals that are spelled though they hold a vowel."""
