//! Which characters nobody sees. One table for everything that shows foreign text or takes names.

/// Ranges of the code points that Unicode 17 says are ignored where they are not supported
/// (`Default_Ignorable_Code_Point`): zero-width and joining characters, fillers, variation selectors,
/// tags, and all that turn the direction of text (`Bidi_Control`). Places without a character that are
/// reserved for further ones are among them.
const IGNORABLE: [(u32, u32); 17] = [
    (0x00ad, 0x00ad),
    (0x034f, 0x034f),
    (0x061c, 0x061c),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x206f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfff8),
    (0x1_bca0, 0x1_bca3),
    (0x1_d173, 0x1_d17a),
    (0xe_0000, 0xe_0fff),
];

/// Whether a character is one that a reader does not see, or that has others seen elsewhere than where
/// they stand: controls, separators of lines, and what Unicode has programs ignore.
pub fn is_invisible(c: char) -> bool {
    // Nearly every text is of such.
    if (' '..='~').contains(&c) {
        return false;
    }
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_ignorable(c)
}

fn is_ignorable(c: char) -> bool {
    let point = u32::from(c);
    let after = IGNORABLE.partition_point(|(first, _)| *first <= point);
    after > 0 && point <= IGNORABLE[after - 1].1
}

/// Whether a character says how the one before it is to be drawn, as behind many emoji: not seen, and
/// no reason to look twice.
pub fn is_presentation(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_turns_the_direction_of_text_is_invisible_and_letters_are_not() {
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{ad}\u{0}\u{9b}\u{2028}".chars()
        {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in "aZ ~äß中ر👍\u{301}\u{a0}".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn the_table_has_what_unicode_says(ignorable in "\\p{Default_Ignorable_Code_Point}", other in "\\P{Default_Ignorable_Code_Point}") {
            prop_assert!(ignorable.chars().all(is_ignorable), "{:?}", ignorable);
            prop_assert!(!other.chars().any(is_ignorable), "{:?}", other);
        }

        #[test]
        fn bidi_controls_are_all_in_it(control in "\\p{Bidi_Control}") {
            prop_assert!(control.chars().all(is_ignorable), "{:?}", control);
        }
    }
}
