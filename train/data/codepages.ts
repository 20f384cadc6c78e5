// Single-byte character sets that text in UTF-8 gets read in by mistake, in the order in which the
// repair tries them. Which of them a text could have come from is decided in mojibake.ts. Written
// out because decoders differ: Node 20 reads windows-1252 as Latin-1.

export interface CodePage {
  readonly name: string
  /** Bytes without a meaning stand for the character of the same number, and 1A for U+FFFD. */
  readonly sloppy: boolean
  /** The character of each byte. */
  readonly characters: readonly string[]
  /** The byte of each character. */
  readonly bytes: ReadonlyMap<string, number>
}

/** Bytes 80 to FF; � is a byte that stands for the character of its own number. */
function codePage(name: string, sloppy: boolean, upper: string): CodePage {
  const characters = Array.from({ length: 128 }, (_, i) => String.fromCharCode(i))
  for (const c of upper) {
    characters.push(c === "�" ? String.fromCharCode(characters.length) : c)
  }
  if (sloppy) characters[0x1a] = "�"
  return { name, sloppy, characters, bytes: new Map(characters.map((c, i) => [c, i])) }
}

export const codePages: readonly CodePage[] = [
  codePage("latin-1", false, "�".repeat(128)),
  codePage(
    "windows-1252",
    true,
    "€�‚ƒ„…†‡ˆ‰Š‹Œ�Ž��‘’“”•–—˜™š›œ�žŸ\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕ" +
      "Ö×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
  ),
  codePage(
    "windows-1251",
    true,
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—�™љ›њќћџ\xa0ЎўЈ¤Ґ¦§Ё©Є«¬\xad®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФХ" +
      "ЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
  ),
  codePage(
    "windows-1250",
    true,
    "€�‚�„…†‡�‰Š‹ŚŤŽŹ�‘’“”•–—�™š›śťžź\xa0ˇ˘Ł¤Ą¦§¨©Ş«¬\xad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐ" +
      "Ö×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  ),
  codePage(
    "windows-1253",
    true,
    "€�‚ƒ„…†‡�‰�‹�����‘’“”•–—�™�›����\xa0΅Ά£¤¥¦§¨©�«¬\xad®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ�ΣΤΥ" +
      "ΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ�",
  ),
  codePage(
    "windows-1254",
    true,
    "€�‚ƒ„…†‡ˆ‰Š‹Œ����‘’“”•–—˜™š›œ��Ÿ\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕ" +
      "Ö×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
  ),
  codePage(
    "iso-8859-2",
    false,
    "��������������������������������\xa0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\xadŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐ" +
      "Ö×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  ),
  codePage(
    "macroman",
    false,
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\xa0ÀÃÕŒœ–—“”‘’÷◊ÿ" +
      "Ÿ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
  ),
  codePage(
    "cp437",
    false,
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█" +
      "▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0",
  ),
]

/** Windows-1252, what a browser reads where a page says Latin-1. */
export const windows1252 = codePages[1] as CodePage

/** The characters that bytes from `low` to `high` become in the pages that resemble Latin-1. */
export function charactersOf(low: number, high: number): string[] {
  const resembling = codePages.slice(0, 6)
  const all = new Set(resembling.flatMap(({ characters }) => characters.slice(low, high + 1)))
  return [...all]
}
