#include "client/cli/verbs/embed_output.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

constexpr int kTextColumns = 48;
constexpr int kTokenColumns = 24;
constexpr int64_t kMostTexts = 1000;
constexpr int kCosineColumns = 8;  // of one number and the space before it

double Dot(absl::Span<const float> a, absl::Span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

int64_t TextCount(const EmbedResult& result) {
  return static_cast<int64_t>(result.embeddings.size());
}

int64_t TokenCount(const TextEmbedding& embedding) {
  return static_cast<int64_t>(embedding.prompt.tokens.size());
}

absl::Span<const float> TokenVector(const TextEmbedding& embedding, int64_t position) {
  const size_t width = embedding.token_vectors.size() / embedding.prompt.tokens.size();
  return absl::MakeConstSpan(embedding.token_vectors)
      .subspan(static_cast<size_t>(position) * width, width);
}

// How near a token is to the same token in another text.
std::optional<double> TokenCosine(const TextEmbedding& text, int64_t position,
                                  const TextEmbedding& other) {
  const std::optional<int64_t> place = SameToken(text, position, other);
  if (!place.has_value()) return std::nullopt;
  return Cosine(TokenVector(text, position), TokenVector(other, *place));
}

std::string FormatNorm(double norm) {
  return absl::StrFormat("%#.4g", norm);
}

std::string FormatCosine(std::optional<double> cosine) {
  return cosine.has_value() ? absl::StrFormat("%.3f", *cosine) : "-";
}

std::string PoolingText(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return "the mean of all tokens";
    case Pooling::kCls:
      return "the first token";
    case Pooling::kLast:
      return "the last token";
    case Pooling::kDefault:
      break;
  }
  return "pooled in a way unknown to this version of heed";
}

const char* PoolingName(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return "mean";
    case Pooling::kCls:
      return "cls";
    case Pooling::kLast:
      return "last";
    case Pooling::kDefault:
      break;
  }
  return "unknown";
}

std::string Label(const EmbedResult& result, const std::vector<std::string>& texts, int64_t index) {
  std::string label;
  if (texts.size() == result.embeddings.size()) {
    label = absl::StrReplaceAll(SafeText(texts[index]), {{"\n", "↵"}, {"\t", " "}});
  } else {
    label = absl::StrJoin(VisibleTokens(result.embeddings[index].prompt.tokens), " ");
  }
  return Fit(label, kTextColumns);
}

void PrintTexts(const EmbedResult& result, const std::vector<std::string>& texts,
                Session& session) {
  Table table({{"", Align::kRight},
               {"text"},
               {"tokens", Align::kRight},
               {"dimensions", Align::kRight, 1},
               {"norm", Align::kRight}});
  for (int64_t i = 0; i < TextCount(result); ++i) {
    const TextEmbedding& embedding = result.embeddings[i];
    table.AddRow({absl::StrCat(i + 1), Label(result, texts, i), FormatCount(TokenCount(embedding)),
                  FormatCount(static_cast<int64_t>(embedding.vector.size())),
                  FormatNorm(Norm(embedding.vector))});
  }
  session.out() << table.Render(session.terminal());
  for (int64_t i = 0; i < TextCount(result); ++i) {
    const std::string dropped = FormatDropped(result.embeddings[i].prompt);
    if (dropped.empty()) continue;
    session.out() << Paragraph(session.terminal(), absl::StrCat("text ", i + 1, ": ", dropped));
  }
}

// Columns of the matrix that a terminal has room for; a file has room for all.
int64_t ShownColumns(int64_t count, const Terminal& terminal) {
  if (!terminal.is_terminal) return count;
  return std::clamp<int64_t>((terminal.width - kCosineColumns) / kCosineColumns, 1, count);
}

// The index of the other vector that is nearest to the one at `row`.
int64_t Nearest(const std::vector<std::optional<double>>& cosines, int64_t row) {
  int64_t best = -1;
  for (int64_t i = 0; i < static_cast<int64_t>(cosines.size()); ++i) {
    if (i == row || !cosines[i].has_value()) continue;
    if (best < 0 || *cosines[i] > *cosines[best]) best = i;
  }
  return best;
}

void PrintMatrix(const EmbedResult& result, Session& session) {
  const Terminal& terminal = session.terminal();
  const int64_t count = TextCount(result);
  const int64_t shown = ShownColumns(count, terminal);
  std::vector<Column> columns = {{"", Align::kRight}};
  for (int64_t i = 0; i < shown; ++i) columns.push_back({absl::StrCat(i + 1), Align::kRight});
  Table table(std::move(columns));
  for (int64_t i = 0; i < count; ++i) {
    std::vector<std::optional<double>> cosines;
    for (const TextEmbedding& other : result.embeddings) {
      cosines.push_back(Cosine(result.embeddings[i].vector, other.vector));
    }
    const int64_t nearest = count > 2 ? Nearest(cosines, i) : -1;
    std::vector<std::string> cells = {absl::StrCat(i + 1)};
    for (int64_t j = 0; j < shown; ++j) {
      const std::string cell = FormatCosine(cosines[j]);
      cells.push_back(j == nearest ? Styled(terminal, Emphasis::kBold, cell) : cell);
    }
    table.AddRow(std::move(cells));
  }
  session.out() << "\ncosine similarity\n" << table.Render(terminal);
  if (shown < count) {
    session.out() << Paragraph(
        terminal, absl::StrCat(Plural(count - shown, "column"), " left out; --json has them all."));
  }
}

// One block for each text: every token, and how near it is to the same token elsewhere.
void PrintTokenVectors(const EmbedResult& result, const std::vector<std::string>& texts,
                       int64_t index, Session& session) {
  const TextEmbedding& embedding = result.embeddings[index];
  std::vector<Column> columns = {{"position", Align::kRight}, {"token"}, {"norm", Align::kRight}};
  for (int64_t other = 0; other < TextCount(result); ++other) {
    // The first texts have room last.
    if (other == index) continue;
    columns.push_back({absl::StrCat("cosine in ", other + 1), Align::kRight,
                       static_cast<int>(std::min<int64_t>(other, kMostTexts))});
  }
  Table table(std::move(columns));
  for (int64_t position = 0; position < TokenCount(embedding); ++position) {
    std::vector<std::string> cells = {
        absl::StrCat(position), Fit(VisibleToken(embedding.prompt.tokens[position]), kTokenColumns),
        FormatNorm(Norm(TokenVector(embedding, position)))};
    for (int64_t other = 0; other < TextCount(result); ++other) {
      if (other == index) continue;
      const auto cosine = TokenCosine(embedding, position, result.embeddings[other]);
      cells.push_back(cosine.has_value() ? FormatCosine(cosine) : "");
    }
    table.AddRow(std::move(cells));
  }
  const Terminal& terminal = session.terminal();
  session.out() << "\n"
                << Paragraph(terminal, Styled(terminal, Emphasis::kBold,
                                              absl::StrCat("text ", index + 1, ": ",
                                                           Label(result, texts, index))))
                << table.Render(terminal);
}

void PrintFooter(const EmbedResult& result, Session& session) {
  const std::vector<std::string> facts = {
      ModelText(result.model),
      absl::StrCat(PoolingText(result.pooling), result.normalized ? ", normalized" : ""),
      FormatTimings(result.timings)};
  session.out() << "\n" << JoinItems(session.terminal(), facts, " · ") << "\n";
}

void WriteCosine(JsonWriter& json, std::optional<double> cosine) {
  cosine.has_value() ? json.Number(*cosine) : json.Null();
}

// Vectors and norms of the tokens, and their cosines with the same token of every text: null where
// it does not stand.
void WriteTokenVectors(JsonWriter& json, const EmbedResult& result,
                       const TextEmbedding& embedding) {
  json.Key("token_vectors").BeginArray();
  for (int64_t i = 0; i < TokenCount(embedding); ++i) WriteFloats(json, TokenVector(embedding, i));
  json.EndArray().Key("token_norms").BeginArray();
  for (int64_t i = 0; i < TokenCount(embedding); ++i) json.Number(Norm(TokenVector(embedding, i)));
  json.EndArray().Key("token_cosines").BeginArray();
  for (int64_t i = 0; i < TokenCount(embedding); ++i) {
    json.BeginArray();
    for (const TextEmbedding& other : result.embeddings) {
      WriteCosine(json, TokenCosine(embedding, i, other));
    }
    json.EndArray();
  }
  json.EndArray();
}

}  // namespace

double Norm(absl::Span<const float> vector) {
  return std::sqrt(Dot(vector, vector));
}

std::optional<double> Cosine(absl::Span<const float> a, absl::Span<const float> b) {
  // One root of both, so that a vector's cosine with itself is exactly 1.
  const double lengths = std::sqrt(Dot(a, a) * Dot(b, b));
  if (!(lengths > 0)) return std::nullopt;
  return std::clamp(Dot(a, b) / lengths, -1.0, 1.0);
}

std::optional<int64_t> SameToken(const TextEmbedding& text, int64_t position,
                                 const TextEmbedding& other) {
  const int32_t id = text.prompt.tokens[position].id;
  int64_t earlier = 0;
  for (int64_t i = 0; i < position; ++i) earlier += text.prompt.tokens[i].id == id ? 1 : 0;
  for (int64_t i = 0; i < TokenCount(other); ++i) {
    if (other.prompt.tokens[i].id == id && earlier-- == 0) return i;
  }
  return std::nullopt;
}

void PrintEmbeddings(const EmbedResult& result, const std::vector<std::string>& texts, bool tokens,
                     Session& session) {
  PrintTexts(result, texts, session);
  if (TextCount(result) > 1) PrintMatrix(result, session);
  for (int64_t i = 0; tokens && i < TextCount(result); ++i) {
    PrintTokenVectors(result, texts, i, session);
  }
  PrintFooter(result, session);
}

void WriteEmbeddingsJson(const EmbedResult& result, bool tokens, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("model");
  WriteIdentity(json, result.model);
  json.Key("pooling").String(PoolingName(result.pooling));
  json.Key("normalized").Bool(result.normalized);
  json.Key("embeddings").BeginArray();
  for (const TextEmbedding& embedding : result.embeddings) {
    json.BeginObject().Key("prompt");
    WritePrompt(json, embedding.prompt);
    json.Key("vector");
    WriteFloats(json, embedding.vector);
    json.Key("norm").Number(Norm(embedding.vector));
    if (tokens) WriteTokenVectors(json, result, embedding);
    json.EndObject();
  }
  json.EndArray().Key("cosine_similarities").BeginArray();
  for (const TextEmbedding& row : result.embeddings) {
    json.BeginArray();
    for (const TextEmbedding& column : result.embeddings) {
      WriteCosine(json, Cosine(row.vector, column.vector));
    }
    json.EndArray();
  }
  json.EndArray().Key("timings_ms");
  WriteTimings(json, result.timings);
  json.EndObject();
  json.EndLine();
}

}  // namespace heed::cli
