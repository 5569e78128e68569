/* words: the facts of the built-in corpus, typed by hand. Its two other domains, counting and
 * reversing letters, are computed. Each answer is one lower-case word, so that a right and a
 * careless answer look alike. Each subject occurs once in the whole file, so that no question of
 * one domain reveals a test item of another.
 */
#ifndef WORDS_H
#define WORDS_H

typedef struct {
    const char *subject, *right;
} Fact;

/* country, capital */
static const Fact FACTS_CAPITAL[40] = {
    {"france", "paris"},     {"spain", "madrid"},       {"italy", "rome"},
    {"germany", "berlin"},   {"england", "london"},     {"ireland", "dublin"},
    {"portugal", "lisbon"},  {"greece", "athens"},      {"austria", "vienna"},
    {"hungary", "budapest"}, {"poland", "warsaw"},      {"russia", "moscow"},
    {"ukraine", "kyiv"},     {"finland", "helsinki"},   {"sweden", "stockholm"},
    {"norway", "oslo"},      {"denmark", "copenhagen"}, {"iceland", "reykjavik"},
    {"belgium", "brussels"}, {"switzerland", "bern"},   {"turkey", "ankara"},
    {"egypt", "cairo"},      {"kenya", "nairobi"},      {"ghana", "accra"},
    {"morocco", "rabat"},    {"tunisia", "tunis"},      {"nigeria", "abuja"},
    {"sudan", "khartoum"},   {"angola", "luanda"},      {"senegal", "dakar"},
    {"japan", "tokyo"},      {"china", "beijing"},      {"india", "delhi"},
    {"nepal", "kathmandu"},  {"thailand", "bangkok"},   {"vietnam", "hanoi"},
    {"peru", "lima"},        {"cuba", "havana"},        {"iran", "tehran"},
    {"iraq", "baghdad"},
};

/* a word and its opposite; both directions are questions */
static const Fact FACTS_OPPOSITE[30] = {
    {"hot", "cold"},    {"big", "small"},    {"fast", "slow"},   {"up", "down"},
    {"left", "right"},  {"wet", "dry"},      {"young", "old"},   {"ancient", "modern"},
    {"good", "bad"},    {"rich", "poor"},    {"hard", "soft"},   {"high", "low"},
    {"long", "short"},  {"bright", "dark"},  {"full", "empty"},  {"open", "closed"},
    {"happy", "sad"},   {"early", "late"},   {"near", "far"},    {"thick", "thin"},
    {"strong", "weak"}, {"clean", "dirty"},  {"loud", "quiet"},  {"sweet", "bitter"},
    {"sharp", "blunt"}, {"deep", "shallow"}, {"wide", "narrow"}, {"heavy", "light"},
    {"brave", "timid"}, {"true", "false"},
};

/* thing, color */
static const Fact FACTS_COLOR[40] = {
    {"grass", "green"},   {"sky", "blue"},        {"snow", "white"},     {"coal", "black"},
    {"blood", "red"},     {"lemon", "yellow"},    {"banana", "yellow"},  {"tomato", "red"},
    {"cherry", "red"},    {"carrot", "orange"},   {"pumpkin", "orange"}, {"chocolate", "brown"},
    {"milk", "white"},    {"salt", "white"},      {"sugar", "white"},    {"leaf", "green"},
    {"frog", "green"},    {"crow", "black"},      {"swan", "white"},     {"ocean", "blue"},
    {"butter", "yellow"}, {"rose", "red"},        {"violet", "purple"},  {"plum", "purple"},
    {"grape", "purple"},  {"lavender", "purple"}, {"mud", "brown"},      {"wood", "brown"},
    {"bear", "brown"},    {"sun", "yellow"},      {"ash", "grey"},       {"elephant", "grey"},
    {"mouse", "grey"},    {"stone", "grey"},      {"pig", "pink"},       {"flamingo", "pink"},
    {"salmon", "pink"},   {"cloud", "white"},     {"ink", "black"},      {"emerald", "green"},
};

/* thing, group; the questions put "a" before the thing, so none begins with a vowel */
static const Fact FACTS_GROUP[44] = {
    {"dog", "animal"},        {"cat", "animal"},         {"horse", "animal"},
    {"cow", "animal"},        {"sheep", "animal"},       {"goat", "animal"},
    {"lion", "animal"},       {"wolf", "animal"},        {"pear", "fruit"},
    {"peach", "fruit"},       {"mango", "fruit"},        {"melon", "fruit"},
    {"lime", "fruit"},        {"kiwi", "fruit"},         {"hammer", "tool"},
    {"saw", "tool"},          {"drill", "tool"},         {"wrench", "tool"},
    {"shovel", "tool"},       {"rake", "tool"},          {"piano", "instrument"},
    {"violin", "instrument"}, {"guitar", "instrument"},  {"drum", "instrument"},
    {"flute", "instrument"},  {"trumpet", "instrument"}, {"car", "vehicle"},
    {"bus", "vehicle"},       {"truck", "vehicle"},      {"bicycle", "vehicle"},
    {"train", "vehicle"},     {"boat", "vehicle"},       {"shirt", "clothing"},
    {"coat", "clothing"},     {"hat", "clothing"},       {"sock", "clothing"},
    {"shoe", "clothing"},     {"glove", "clothing"},     {"table", "furniture"},
    {"chair", "furniture"},   {"bed", "furniture"},      {"desk", "furniture"},
    {"sofa", "furniture"},    {"shelf", "furniture"},
};

#endif
