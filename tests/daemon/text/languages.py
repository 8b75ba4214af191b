"""A paragraph in each of the fourteen languages, as its readers cut it into sentences.

Written for these tests: each has what trips a cutter in that language, such as abbreviations, initials, numbers,
times, dates, quotations and ellipses. The white space after a sentence belongs to it.
"""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

PARAGRAPHS: dict[str, tuple[str, ...]] = {
    "en": (
        "Dr. Jane A. Smith moved to St. Petersburg, Fla., on Oct. 3, 1998, because Mr. and Mrs. Brown had sold her "
        "a house for $1,250.50. ",
        "It was, i.e. by local standards, cheap... ",
        '"Is it true?" asked the mayor at 10:30 a.m. ',
        "“Of course!” she said. ",
        "The U.S. Navy paid approx. 3.5 percent more; see fig. 2 on p. 14. ",
        "Nobody knew why!",
    ),
    "zh": (
        "1998年10月3日，王老师搬到了北京，花了3.5万元。",
        "“这是真的吗？”市长在10:30问道。",
        "她说：“当然！”",
        "大家都笑了……没有人知道为什么！",
        "《红楼梦》是一本很长的书。",
    ),
    "ja": (
        "1998年10月3日、田中先生は東京に引っ越した。",
        "「本当ですか？」と市長は10時30分に尋ねた。",
        "「もちろんです。」と彼女は言った。",
        "家賃は3.5万円だった……誰も理由を知らなかった！",
        "『坊っちゃん』を読んだことがありますか。",
    ),
    "ko": (
        "1998년 10월 3일, 김 박사는 서울로 이사했다. ",
        "집값은 약 3.5억 원이었다. ",
        '"정말입니까?" 시장이 오전 10:30에 물었다. ',
        "“물론입니다!” 그녀가 말했다. ",
        "아무도 그 이유를 몰랐다...",
    ),
    "fr": (
        "Le 3 oct. 1998, M. Dupont et Mme Martin s'installèrent à St. Pierre, p. ex. pour y vivre avec 3,50 € par "
        "jour. ",
        "« Est-ce vrai ? » demanda le maire à 10 h 30. ",
        "« Bien sûr ! » répondit-elle. ",
        "C'était, selon le Dr. Petit, environ 1 250,50 euros, etc., mais personne n'en parlait… ",
        "Qui donc le savait ? ",
        "Voir p. 14, fig. 2.",
    ),
    "de": (
        "Am 3. Oktober 1998 zog Frau Dr. Müller nach St. Petersburg, z. B. wegen der Oper. ",
        "Das Haus kostete ca. 1.250,50 €, d. h. etwa 3,5 % mehr als im 19. Jahrhundert. ",
        "„Ist das wahr?“, fragte der Bürgermeister um 10.30 Uhr. ",
        "„Natürlich!“, sagte sie. ",
        "Prof. Schmidt, Nr. 14 in der Liste, lachte ... ",
        "Niemand wusste, warum Kaiser Wilhelm II. so schwieg. ",
        "Vgl. S. 14 usw.",
    ),
    "es": (
        "El 3 de oct. de 1998, el Sr. García y la Dra. Ruiz se mudaron a EE. UU. por unos 1.250,50 €. ",
        "—¿Es verdad? —preguntó el alcalde a las 10:30. ",
        "«¡Claro que sí!», dijo ella. ",
        "Costaba aprox. un 3,5 % más... ",
        "¡Nadie sabía por qué! ",
        "¿Quién lo sabía? ",
        "Véase la pág. 14.",
    ),
    "pl": (
        "Dnia 3 paźdz. 1998 r. dr Nowak i prof. Kowalska przeprowadzili się do Krakowa, m.in. z powodu opery. ",
        "Dom kosztował ok. 1250,50 zł, tj. o 3,5 proc. więcej. ",
        "„Czy to prawda?” zapytał burmistrz o godz. 10.30. ",
        "„Oczywiście!” powiedziała ona. ",
        "Nikt nie wiedział dlaczego... ",
        "Zob. s. 14.",
    ),
    "ru": (
        "3 окт. 1998 г. проф. А. С. Иванов переехал в г. Москву, т. е. в столицу. ",
        "Дом стоил 1250,50 руб., на 3,5 % больше. ",
        "«Это правда?» — спросил мэр в 10:30. ",
        "«Конечно!» — сказала она. ",
        "Никто не знал почему… ",
        "См. стр. 14 и т. д.",
    ),
    "it": (
        "Il 3 ott. 1998 il sig. Rossi e la dott.ssa Bianchi si trasferirono a S. Marino, per ca. 1.250,50 €. ",
        "«È vero?» chiese il sindaco alle 10.30. ",
        "“Certo!” disse lei. ",
        "Costava il 3,5 % in più, ecc., ma nessuno ne parlava... ",
        "Chi lo sapeva? ",
        "Vedi pag. 14.",
    ),
    "pt": (
        "Em 3 de out. de 1998, o Sr. Silva e a Dra. Costa mudaram-se para os EUA por cerca de 1.250,50 €. ",
        "«É verdade?», perguntou o presidente às 10h30. ",
        "“Claro que sim!”, disse ela. ",
        "Custava aprox. 3,5 % a mais... ",
        "Ninguém sabia porquê! ",
        "Ver pág. 14, p. ex.",
    ),
    "ar": (
        "في 3 أكتوبر 1998 انتقل د. أحمد إلى القاهرة، ودفع 3.5 ملايين جنيه. ",
        "«هل هذا صحيح؟» سأل العمدة في الساعة 10:30. ",
        "قالت: «بالطبع!» ",
        "لم يعرف أحد السبب... ",
        "من كان يعرف؟ ",
        "لا أحد.",
    ),
    "hi": (
        "3 अक्टूबर 1998 को डॉ. शर्मा दिल्ली आए और उन्होंने 3.5 लाख रुपये दिए। ",
        "“क्या यह सच है?” महापौर ने 10:30 बजे पूछा। ",
        "“बिल्कुल!” उसने कहा। ",
        "किसी को कारण पता नहीं था... ",
        "श्री वर्मा हँस पड़े॥ ",
        "कौन जानता था?",
    ),
    "tr": (
        "3 Ekim 1998'de Dr. Yılmaz ve Prof. Kaya, İstanbul'a taşındı. ",
        "Ev yaklaşık 1.250,50 ₺ idi, vb. ama 19. yüzyılda daha ucuzdu. ",
        "“Bu doğru mu?” diye sordu belediye başkanı saat 10.30'da. ",
        "“Elbette!” dedi. ",
        "Kimse nedenini bilmiyordu... ",
        "Bkz. s. 14.",
    ),
}
