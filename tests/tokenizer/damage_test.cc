// Named corruptions of tokenizer files: each is refused with a message that names the place and
// what would be right.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "model/base/utf8.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {
namespace {

constexpr char kBpe[] =
    R"json({"version":"1.0","added_tokens":[{"id":5,"content":"<s>","single_word":false,"lstrip":false,
"rstrip":false,"normalized":false,"special":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},
  {"type":"Replace","pattern":{"String":"``"},"content":"\""},
  {"type":"Strip","strip_left":true,"strip_right":true},{"type":"Prepend","prepend":"_"},
  {"type":"BertNormalizer","clean_text":true,"lowercase":false},
  {"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAA="}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[
  {"type":"Split","pattern":{"Regex":"\\d+"},"behavior":"Isolated","invert":false},
  {"type":"Digits","individual_digits":true},
  {"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true},
  {"type":"CharDelimiterSplit","delimiter":"-"},{"type":"FixedLength","length":1000},
  {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
"post_processor":{"type":"Sequence","processors":[{"type":"TemplateProcessing",
  "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
  "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}}]},
"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},
  {"type":"Strip","content":" ","start":1,"stop":0}]},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
  "fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"c":2,"ab":3,"_":4},
  "merges":[["a","b"]]}})json";

constexpr char kWordPiece[] = R"json({"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
"model":{"type":"WordPiece","unk_token":"[UNK]","max_input_chars_per_word":100,
  "vocab":{"[UNK]":0,"a":1,"##b":2}}})json";

constexpr char kUnigram[] =
    R"json({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1.5]]}})json";

constexpr char kWordLevel[] =
    R"json({"model":{"type":"WordLevel","unk_token":"<unk>","vocab":{"<unk>":0,"the":1}}})json";

constexpr char kRoberta[] =
    R"json({"post_processor":{"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",1],
  "trim_offsets":true,"add_prefix_space":false},
"model":{"type":"WordLevel","vocab":{"<unk>":0,"<s>":1,"</s>":2}}})json";

// A good file with one place changed, and how what is said about it begins.
struct Damage {
  const char* file;
  const char* name;
  const char* from;
  const char* to;
  const char* message;
};

constexpr Damage kDamages[] = {
    {kBpe, "the model is missing", R"("model":{)", R"("modell":{)",
     R"(tokenizer.json: has no key "model")"},
    {kBpe, "the model is a list", R"("model":{"type":"BPE","dropout":null,)",
     R"("model":[],"x":{"type":"BPE","dropout":null,)",
     R"(tokenizer.json: model is []; it must be an object)"},
    {kBpe, "an unknown model", R"("type":"BPE")", R"("type":"BPF")",
     R"(tokenizer.json: model: heed has no tokenizer model "BPF")"},
    {kBpe, "the type is a number", R"("type":"BPE")", R"("type":1)",
     R"(tokenizer.json: model.type is 1; it must be a string)"},
    {kBpe, "another version", R"("version":"1.0")", R"("version":"1.1")",
     R"(tokenizer.json: version: heed reads version "1.0", not "1.1")"},
    {kBpe, "the version is a number", R"("version":"1.0")", R"("version":1.0)",
     R"(tokenizer.json: version is 1.0; it must be a string)"},
    {kBpe, "a vocabulary that is a list", R"("vocab":{)", R"("vocab":["x"],"w":{)",
     R"(tokenizer.json: model.vocab is ["x"]; it must be an object)"},
    {kBpe, "no vocabulary", R"("vocab":{)", R"("vocabulary":{)",
     R"(tokenizer.json: model has no key "vocab")"},
    {kBpe, "an id with a fraction", R"("a":0)", R"("a":0.5)",
     R"(tokenizer.json: model.vocab.a is 0.5; it must be an integer from 0 to 4194303)"},
    {kBpe, "a negative id", R"("a":0)", R"("a":-1)",
     R"(tokenizer.json: model.vocab.a is -1; it must be an integer from 0 to 4194303)"},
    {kBpe, "an id as text", R"("a":0)", R"("a":"0")",
     R"(tokenizer.json: model.vocab.a is "0"; it must be an integer from 0 to 4194303)"},
    {kBpe, "an id above all limits", R"("a":0)", R"("a":4294967296)",
     R"(tokenizer.json: model.vocab.a is 4294967296; it must be an integer from 0 to 4194303)"},
    {kBpe, "an id far from the others", R"("a":0)", R"("a":3000000)",
     R"(tokenizer.json: model.vocab: has an id 3000000 but only 5 pieces)"},
    {kBpe, "an id twice", R"("a":0)", R"("a":1)",
     R"(tokenizer.json: model.vocab.b: has the id 1, which belongs to "a")"},
    {kBpe, "a piece twice", R"("a":0)", R"("a":0,"a":9)",
     R"(tokenizer.json: model.vocab has the key "a" more than once; every key must be unique)"},
    {kBpe, "an id that is null", R"("a":0)", R"("a":null)",
     R"(tokenizer.json: model.vocab.a is null; it must be an integer from 0 to 4194303)"},
    {kBpe, "no merges", R"("merges":[)", R"("merge":[)",
     R"(tokenizer.json: model has no key "merges")"},
    {kBpe, "merges that are null", R"("merges":[["a","b"]])", R"("merges":null)",
     R"(tokenizer.json: model.merges is null; it must be a list)"},
    {kBpe, "a merge of three", R"(["a","b"])", R"(["a","b","c"])",
     R"(tokenizer.json: model.merges[0]: has 3 elements; expected two pieces)"},
    {kBpe, "a merge of one", R"(["a","b"])", R"(["a"])",
     R"(tokenizer.json: model.merges[0]: has 1 elements; expected two pieces)"},
    {kBpe, "a merge of no pieces", R"(["a","b"])", R"(["q","b"])",
     R"(tokenizer.json: model.merges[0]: needs the piece "q", which is not in the vocabulary)"},
    {kBpe, "a merge that makes no piece", R"(["a","b"])", R"(["b","a"])",
     R"(tokenizer.json: model.merges[0]: needs the piece "ba", which is not in the vocabulary)"},
    {kBpe, "a merge with an empty part", R"(["a","b"])", R"(["a",""])",
     R"(tokenizer.json: model.merges[0]: merges "a" and ""; expected pieces that add text)"},
    {kBpe, "a merge as text with two spaces", R"(["a","b"])", R"("a b c")",
     R"(tokenizer.json: model.merges[0]: is "a b c"; expected two pieces with one space between them)"},
    {kBpe, "a merge as text without a space", R"(["a","b"])", R"("ab")",
     R"(tokenizer.json: model.merges[0]: is "ab"; expected two pieces with one space between them)"},
    {kBpe, "a merge that is a number", R"(["a","b"])", R"(7)",
     R"(tokenizer.json: model.merges[0] is 7; it must be a string)"},
    {kBpe, "a merge twice", R"(["a","b"])", R"(["a","b"],["a","b"])",
     R"(tokenizer.json: model.merges[1]: merges "a" and "b", as merge 0 does; expected each pair once)"},
    {kBpe, "dropout", R"("dropout":null)", R"("dropout":0.1)",
     R"(tokenizer.json: model.dropout: heed tokenizes without dropout; expected null or 0)"},
    {kBpe, "dropout as text", R"("dropout":null)", R"("dropout":"0")",
     R"(tokenizer.json: model.dropout is "0"; it must be a number)"},
    {kBpe, "fuse_unk that is a number", R"("fuse_unk":false)", R"("fuse_unk":0)",
     R"(tokenizer.json: model.fuse_unk is 0; it must be true or false)"},
    {kBpe, "byte_fallback as text", R"("byte_fallback":false)", R"("byte_fallback":"no")",
     R"(tokenizer.json: model.byte_fallback is "no"; it must be true or false)"},
    {kBpe, "an unk_token that is a number", R"("unk_token":null)", R"("unk_token":0)",
     R"(tokenizer.json: model.unk_token is 0; it must be a string)"},
    {kBpe, "a prefix that is a list", R"("continuing_subword_prefix":null)",
     R"("continuing_subword_prefix":[])",
     R"(tokenizer.json: model.continuing_subword_prefix is []; it must be a string)"},
    {kBpe, "added tokens that are an object", R"("added_tokens":[)", R"("added_tokens":{},"x":[)",
     R"(tokenizer.json: added_tokens is an object; it must be a list)"},
    {kBpe, "an added token that is text", R"("added_tokens":[)", R"("added_tokens":["x",)",
     R"(tokenizer.json: added_tokens[0] is "x"; it must be an object)"},
    {kBpe, "an added token without content", R"("content":"<s>",)", R"()",
     R"(tokenizer.json: added_tokens[0] has no key "content")"},
    {kBpe, "an added token without a flag", R"("lstrip":false,)", R"()",
     R"(tokenizer.json: added_tokens[0] has no key "lstrip")"},
    {kBpe, "a flag that is null", R"("rstrip":false)", R"("rstrip":null)",
     R"(tokenizer.json: added_tokens[0].rstrip is null; it must be true or false)"},
    {kBpe, "an added id that is negative", R"("id":5)", R"("id":-5)",
     R"(tokenizer.json: added_tokens[0].id is -5; it must be an integer from 0 to 2147483647)"},
    {kBpe, "an added id as text", R"("id":5)", R"("id":"5")",
     R"(tokenizer.json: added_tokens[0].id is "5"; it must be an integer from 0 to 2147483647)"},
    {kBpe, "an added token twice", R"("added_tokens":[)",
     R"("added_tokens":[{"id":6,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},)",
     R"(tokenizer.json: added_tokens[1]: has the content "<s>", as another added token)"},
    {kBpe, "an added id twice", R"("added_tokens":[)",
     R"("added_tokens":[{"id":5,"content":"<t>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},)",
     R"(tokenizer.json: added_tokens[1].id: is 5, as that of another added token)"},
    {kBpe, "an unknown normalizer", R"("type":"NFC")", R"("type":"NFX")",
     R"(tokenizer.json: normalizer.normalizers[0]: heed has no normalizer "NFX")"},
    {kBpe, "a normalizer without a type", R"({"type":"NFC"})", R"({})",
     R"(tokenizer.json: normalizer.normalizers[0] has no key "type")"},
    {kBpe, "a normalizer that is text", R"({"type":"NFC"})", R"("NFC")",
     R"(tokenizer.json: normalizer.normalizers[0] is "NFC"; it must be an object)"},
    {kBpe, "a sequence without steps", R"("normalizers":[)", R"("normalisers":[)",
     R"(tokenizer.json: normalizer has no key "normalizers")"},
    {kBpe, "a sequence that is an object", R"("normalizers":[{)", R"("normalizers":{},"x":[{)",
     R"(tokenizer.json: normalizer.normalizers is an object; it must be a list)"},
    {kBpe, "a replacement without a pattern", R"("pattern":{"String":"``"},)", R"()",
     R"(tokenizer.json: normalizer.normalizers[1] has no key "pattern")"},
    {kBpe, "a replacement of nothing", R"({"String":"``"})", R"({"String":""})",
     R"(tokenizer.json: normalizer.normalizers[1].pattern.String: is empty; expected the text to look for)"},
    {kBpe, "a pattern of no kind", R"({"String":"``"})", R"({"Glob":"*"})",
     R"(tokenizer.json: normalizer.normalizers[1].pattern: has neither "Regex" nor "String")"},
    {kBpe, "a pattern that is text", R"({"String":"``"})", R"("``")",
     R"(tokenizer.json: normalizer.normalizers[1].pattern: has neither "Regex" nor "String")"},
    {kBpe, "a replacement without content", R"(,"content":"\""})", R"(})",
     R"(tokenizer.json: normalizer.normalizers[1] has no key "content")"},
    {kBpe, "a strip without a side", R"("strip_left":true,)", R"()",
     R"(tokenizer.json: normalizer.normalizers[2] has no key "strip_left")"},
    {kBpe, "a strip with a number", R"("strip_right":true)", R"("strip_right":1)",
     R"(tokenizer.json: normalizer.normalizers[2].strip_right is 1; it must be true or false)"},
    {kBpe, "a prefix to prepend that is missing", R"("prepend":"_")", R"("prefix":"_")",
     R"(tokenizer.json: normalizer.normalizers[3] has no key "prepend")"},
    {kBpe, "BERT flags that are numbers", R"("clean_text":true)", R"("clean_text":1)",
     R"(tokenizer.json: normalizer.normalizers[4].clean_text is 1; it must be true or false)"},
    {kBpe, "a charsmap that is no base64", R"("precompiled_charsmap":")",
     R"("precompiled_charsmap":"*)",
     R"(tokenizer.json: normalizer.normalizers[5].precompiled_charsmap: is no base64)"},
    {kBpe, "a charsmap that is too short", R"("precompiled_charsmap":"BAAAAAAAAAA=")",
     R"("precompiled_charsmap":"AAA=")",
     R"(tokenizer.json: normalizer.normalizers[5].precompiled_charsmap: has 2 bytes; expected at least 4)"},
    {kBpe, "a charsmap that announces too much", R"("precompiled_charsmap":"BAAAAAAAAAA=")",
     R"("precompiled_charsmap":"/////w==")",
     R"(tokenizer.json: normalizer.normalizers[5].precompiled_charsmap: announces a double array of 4294967295 bytes where 0 follow; expected a multiple of 4)"},
    {kBpe, "a charsmap that is missing", R"("precompiled_charsmap")", R"("charsmap")",
     R"(tokenizer.json: normalizer.normalizers[5] has no key "precompiled_charsmap")"},
    {kBpe, "an unknown pre-tokenizer", R"("type":"Digits")", R"("type":"Digit")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[1]: heed has no pre-tokenizer "Digit")"},
    {kBpe, "a malformed expression", R"({"Regex":"\\d+"})", R"({"Regex":"(\\d+"})",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern is malformed: )"},
    {kBpe, "an expression with an unknown property", R"({"Regex":"\\d+"})",
     R"({"Regex":"\\p{Nope}"})",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern is malformed: )"},
    {kBpe, "an expression with a class without end", R"({"Regex":"\\d+"})", R"({"Regex":"[a"})",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern has a class without an end)"},
    {kBpe, "an expression with a flag of another dialect", R"({"Regex":"\\d+"})",
     R"({"Regex":"(?s)."})",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern uses the flags (?s), which heed does not translate)"},
    {kBpe, "an expression that is a number", R"({"Regex":"\\d+"})", R"({"Regex":7})",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex is 7; it must be a string)"},
    {kBpe, "a behaviour of no kind", R"("behavior":"Isolated")", R"("behavior":"isolated")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].behavior: is "isolated"; expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous)"},
    {kBpe, "no behaviour", R"("behavior":"Isolated",)", R"()",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0] has no key "behavior")"},
    {kBpe, "invert that is null", R"("invert":false)", R"("invert":null)",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[0].invert is null; it must be true or false)"},
    {kBpe, "individual_digits that is missing", R"("individual_digits":true)",
     R"("individual":true)",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[1] has no key "individual_digits")"},
    {kBpe, "a replacement of two characters", R"("replacement":"_")", R"("replacement":"__")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[2].replacement is "__"; it must be one character)"},
    {kBpe, "an empty replacement", R"("replacement":"_")", R"("replacement":"")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[2].replacement is ""; it must be one character)"},
    {kBpe, "a prepend_scheme of no kind", R"("prepend_scheme":"always")",
     R"("prepend_scheme":"last")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[2]: has the prepend_scheme "last"; expected always, first or never)"},
    {kBpe, "two ways to say it that differ", R"("prepend_scheme":"always")",
     R"("prepend_scheme":"always","add_prefix_space":false)",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[2]: has add_prefix_space false and the prepend_scheme "always"; expected never)"},
    {kBpe, "an empty delimiter", R"("delimiter":"-")", R"("delimiter":"")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[3].delimiter is ""; it must be one character)"},
    {kBpe, "a length of nothing", R"("length":1000)", R"("length":0)",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[4].length is 0; it must be an integer from 1 to 2147483647)"},
    {kBpe, "a length as text", R"("length":1000)", R"("length":"5")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[4].length is "5"; it must be an integer from 1 to 2147483647)"},
    {kBpe, "a byte-level step without add_prefix_space",
     R"("add_prefix_space":false,"use_regex":false)", R"("use_regex":false)",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[5] has no key "add_prefix_space")"},
    {kBpe, "use_regex as text", R"("use_regex":false)", R"("use_regex":"x")",
     R"(tokenizer.json: pre_tokenizer.pretokenizers[5].use_regex is "x"; it must be true or false)"},
    {kBpe, "an unknown post-processor", R"("type":"TemplateProcessing")", R"("type":"Template")",
     R"(tokenizer.json: post_processor.processors[0]: heed has no post-processor "Template")"},
    {kBpe, "a template without single", R"("single":[)", R"("sole":[)",
     R"(tokenizer.json: post_processor.processors[0] has no key "single")"},
    {kBpe, "a template without the text", R"({"Sequence":{"id":"A","type_id":0}})",
     R"({"SpecialToken":{"id":"<s>","type_id":0}})",
     R"(tokenizer.json: post_processor.processors[0].single: has no place for the text (the sequence A))"},
    {kBpe, "a template with the second text", R"({"Sequence":{"id":"A","type_id":0}})",
     R"({"Sequence":{"id":"B","type_id":0}})",
     R"(tokenizer.json: post_processor.processors[0].single[1].Sequence: has the id "B"; expected "A")"},
    {kBpe, "a template with the text twice", R"({"Sequence":{"id":"A","type_id":0}})",
     R"({"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"A","type_id":0}})",
     R"(tokenizer.json: post_processor.processors[0].single[2].Sequence: heed has no template with the text twice)"},
    {kBpe, "a template with something else", R"({"Sequence":{"id":"A","type_id":0}})",
     R"({"Text":{"id":"A"}})",
     R"(tokenizer.json: post_processor.processors[0].single[1]: has neither "Sequence" nor "SpecialToken")"},
    {kBpe, "a template token that is not listed", R"({"SpecialToken":{"id":"<s>")",
     R"({"SpecialToken":{"id":"<t>")",
     R"(tokenizer.json: post_processor.processors[0].special_tokens has no key "<t>")"},
    {kBpe, "a template id outside the vocabulary", R"("ids":[5])", R"("ids":[77])",
     R"(tokenizer.json: post_processor.processors[0].special_tokens.<s>.ids[0]: is 77, which is no token of this vocabulary)"},
    {kBpe, "a template id as text", R"("ids":[5])", R"("ids":["5"])",
     R"(tokenizer.json: post_processor.processors[0].special_tokens.<s>.ids[0] is "5"; it must be an integer from 0 to 2147483647)"},
    {kBpe, "a template without ids", R"("ids":[5],)", R"()",
     R"(tokenizer.json: post_processor.processors[0].special_tokens.<s> has no key "ids")"},
    {kBpe, "two templates", R"("processors":[)",
     R"("processors":[{"type":"BertProcessing","sep":["<s>",5],"cls":["<s>",5]},)",
     R"(tokenizer.json: post_processor.processors[1]: heed has no second post-processor that adds tokens)"},
    {kBpe, "a post-processing sequence without steps", R"("processors":[)", R"("steps":[)",
     R"(tokenizer.json: post_processor has no key "processors")"},
    {kBpe, "an unknown decoder", R"("type":"Fuse")", R"("type":"Fused")",
     R"(tokenizer.json: decoder.decoders[1]: heed has no decoder "Fused")"},
    {kBpe, "a strip of two characters", R"("content":" ","start":1)", R"("content":"  ","start":1)",
     R"(tokenizer.json: decoder.decoders[2].content is "  "; it must be one character)"},
    {kBpe, "a strip with a negative count", R"("content":" ","start":1)",
     R"("content":" ","start":-1)",
     R"(tokenizer.json: decoder.decoders[2].start is -1; it must be an integer from 0 to 2147483647)"},
    {kBpe, "a strip without an end", R"("start":1,"stop":0)", R"("start":1)",
     R"(tokenizer.json: decoder.decoders[2] has no key "stop")"},
    {kBpe, "a decoding sequence without steps", R"("decoders":[)", R"("decodes":[)",
     R"(tokenizer.json: decoder has no key "decoders")"},
    {kBpe, "a decoder of no type", R"({"type":"ByteFallback"})", R"({"kind":"ByteFallback"})",
     R"(tokenizer.json: decoder.decoders[0] has no key "type")"},
    {kWordPiece, "a limit on words that is negative", R"("max_input_chars_per_word":100)",
     R"("max_input_chars_per_word":-1)",
     R"(tokenizer.json: model.max_input_chars_per_word is -1; it must be an integer from 0 to 2147483647)"},
    {kWordPiece, "a limit on words above all limits", R"("max_input_chars_per_word":100)",
     R"("max_input_chars_per_word":4294967296)",
     R"(tokenizer.json: model.max_input_chars_per_word is 4294967296; it must be an integer from 0 to 2147483647)"},
    {kWordPiece, "an unknown token that is a number", R"("unk_token":"[UNK]")", R"("unk_token":1)",
     R"(tokenizer.json: model.unk_token is 1; it must be a string)"},
    {kWordPiece, "a cleanup that is a number", R"("cleanup":true)", R"("cleanup":1)",
     R"(tokenizer.json: decoder.cleanup is 1; it must be true or false)"},
    {kUnigram, "a vocabulary that is an object", R"("vocab":[)", R"("vocab":{},"w":[)",
     R"(tokenizer.json: model.vocab is an object; it must be a list)"},
    {kUnigram, "an entry of one part", R"(["a",-1.5])", R"(["a"])",
     R"(tokenizer.json: model.vocab[1] is ["a"]; it must be a piece and its score)"},
    {kUnigram, "an entry that is text", R"(["a",-1.5])", R"("a")",
     R"(tokenizer.json: model.vocab[1] is "a"; it must be a list)"},
    {kUnigram, "a score as text", R"(["a",-1.5])", R"(["a","-1.5"])",
     R"(tokenizer.json: model.vocab[1][1] is "-1.5"; it must be a number)"},
    {kUnigram, "a score that is not finite", R"(["a",-1.5])", R"(["a",1e999])",
     R"(tokenizer.json: not valid JSON: a number is malformed or does not fit in 64 bits)"},
    {kUnigram, "a piece that is a number", R"(["a",-1.5])", R"([1,-1.5])",
     R"(tokenizer.json: model.vocab[1][0] is 1; it must be a string)"},
    {kUnigram, "an unknown id outside the vocabulary", R"("unk_id":0)", R"("unk_id":9)",
     R"(tokenizer.json: model.unk_id is 9; it must be an integer from 0 to 1)"},
    {kUnigram, "an unknown id that is negative", R"("unk_id":0)", R"("unk_id":-1)",
     R"(tokenizer.json: model.unk_id is -1; it must be an integer from 0 to 1)"},
    {kWordLevel, "an unknown token that is a list", R"("unk_token":"<unk>")", R"("unk_token":[])",
     R"(tokenizer.json: model.unk_token is []; it must be a string)"},
    {kWordLevel, "an id that is true", R"("the":1)", R"("the":true)",
     R"(tokenizer.json: model.vocab.the is true; it must be an integer from 0 to 4194303)"},
    {kRoberta, "a separator without an id", R"("sep":["</s>",2])", R"("sep":["</s>"])",
     R"(tokenizer.json: post_processor.sep: expected a piece and its id)"},
    {kRoberta, "a separator that is an id", R"("sep":["</s>",2])", R"("sep":2)",
     R"(tokenizer.json: post_processor.sep is 2; it must be a list)"},
    {kRoberta, "a first token outside the vocabulary", R"("cls":["<s>",1])", R"("cls":["<s>",8])",
     R"(tokenizer.json: post_processor.cls[1]: is 8, which is no token of this vocabulary)"},
    {kRoberta, "a first token that is missing", R"("cls":["<s>",1],)", R"()",
     R"(tokenizer.json: post_processor has no key "cls")"},
    {kRoberta, "trim_offsets that is missing", R"("trim_offsets":true,)", R"()",
     R"(tokenizer.json: post_processor has no key "trim_offsets")"},
};

TEST(DamageTest, TheUndamagedFilesAreRead) {
  for (const char* const file : {kBpe, kWordPiece, kUnigram, kWordLevel, kRoberta}) {
    EXPECT_TRUE(ParseTokenizerJson(file).ok()) << ParseTokenizerJson(file).status();
  }
}

TEST(DamageTest, EachIsRefusedWithTheWholeMessage) {
  std::set<std::string> names;
  for (const Damage& damage : kDamages) {
    SCOPED_TRACE(damage.name);
    EXPECT_TRUE(names.insert(damage.name).second);
    std::string json = damage.file;
    const size_t at = json.find(damage.from);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(json.find(damage.from, at + 1), std::string::npos);
    json.replace(at, std::string(damage.from).size(), damage.to);
    const absl::Status status = ParseTokenizerJson(json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) << status;
    EXPECT_EQ(status.message().substr(0, std::string(damage.message).size()), damage.message);
  }
  EXPECT_GE(names.size(), 110);
}

// Nothing crashes; what is still a tokenizer works.
TEST(DamageTest, EverySingleBitFlipIsRefusedOrHarmless) {
  for (const char* const file : {kBpe, kWordPiece, kUnigram, kWordLevel, kRoberta}) {
    std::string json = file;
    int n_refused = 0;
    for (size_t bit = 0; bit < 8 * json.size(); ++bit) {
      json[bit / 8] = static_cast<char>(json[bit / 8] ^ (1 << bit % 8));
      const auto tokenizer = ParseTokenizerJson(json);
      if (tokenizer.ok()) {
        (*tokenizer)->Encode("the ab-12 <s>", {}).IgnoreError();
      } else {
        ++n_refused;
        ASSERT_TRUE(absl::IsInvalidArgument(tokenizer.status()) ||
                    absl::IsUnimplemented(tokenizer.status()))
            << tokenizer.status();
        ASSERT_TRUE(IsValidUtf8(tokenizer.status().message())) << bit;
      }
      json[bit / 8] = static_cast<char>(json[bit / 8] ^ (1 << bit % 8));
    }
    EXPECT_GT(n_refused, static_cast<int>(2 * json.size()));
    EXPECT_EQ(json, file);
  }
}

}  // namespace
}  // namespace heed
